"""Resumable uploads: the tus 1.0 protocol, until a file is whole and becomes a data set."""
