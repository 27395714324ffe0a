"""The learning core: typed tables in, trained networks out; imports nothing from the rest of app."""
