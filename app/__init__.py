"""maas: train and serve models over HTTP."""

__version__ = "0.1.0"
