"""Tests mirror app/; their names are claims."""
