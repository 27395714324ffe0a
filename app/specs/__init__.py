"""The recipes that can be trained, shown over HTTP."""
