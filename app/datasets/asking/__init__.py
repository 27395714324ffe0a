"""Questions about stored tables: pages of rows, exports, differences, leaks."""
