"""Answers of stored models to rows."""
