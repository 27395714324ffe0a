"""Declared networks for the tests: between them they use every kind of layer and of embedding."""

from __future__ import annotations

from typing import Any

from app.learning.declared.reading import digest, read
from app.learning.declared.spec import make_spec
from app.learning.spec import Spec

MAX_PARAMETERS = 50_000_000
DENSE: dict[str, Any] = {"type": "dense", "units": 8}
RESIDUAL: dict[str, Any] = {
    "type": "residual",
    "layers": [
        {"type": "batch_normalization"},
        {"type": "dense", "units": 48, "activation": "relu", "dropout": 0.1},
        {"type": "dense", "units": 24},
        {"type": "dropout", "rate": 0.1},
    ],
}
LAYERS: list[dict[str, Any]] = [
    {"type": "dense", "units": 24, "activation": "silu", "normalization": "batch", "dropout": 0.1},
    RESIDUAL,
    {"type": "residual", "layers": [{"type": "dense", "units": 24, "activation": "tanh", "normalization": "layer"}]},
    {"type": "layer_normalization"},
    {"type": "activation", "function": "gelu"},
]
NETWORKS: dict[str, dict[str, Any]] = {
    "linear": {"layers": []},
    "residual": {"layers": LAYERS},
    "vectors": {"embeddings": {"categories": {"width": 3}}, "layers": LAYERS[:1]},
    "periodic": {
        "embeddings": {"numbers": {"type": "periodic", "width": 5, "frequencies": 7}},
        "layers": LAYERS,
    },
    "binned": {
        "embeddings": {"categories": {"width": 4}, "numbers": {"type": "piecewise_linear", "bins": 16, "width": 8}},
        "layers": LAYERS[:2],
    },
}


def stored(network: dict[str, Any], *, version: int = 1, **params: Any) -> dict[str, Any]:
    """A declaration as plans carry it."""
    declared = read({"description": "", "network": network, "params": params}, MAX_PARAMETERS)
    return {**declared, "version": version, "sha256": digest(declared)}


def declared_spec(network: dict[str, Any], **params: Any) -> Spec:
    """The spec of a declaration."""
    return make_spec("mine", stored(network, **params))
