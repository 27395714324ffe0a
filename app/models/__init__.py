"""Trained weights under names: numbered versions, aliases, and where they came from."""
