"""From the bytes of a file to a typed, described table: the work of a sandboxed child."""
