"""Data sets: uploaded tables, their typed columns and profiles."""
