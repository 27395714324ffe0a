"""Which versions answer an alias, and what a version must show before it does."""
