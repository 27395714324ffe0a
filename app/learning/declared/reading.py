"""Read a declaration as somebody sent it: every problem with its place, before anything is built; imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from app.learning.declared.arithmetic import by_layer, embedding_parameters, input_width
from app.learning.declared.grammar import (
    LAYERS,
    MAX_LAYERS,
    MAX_NESTING,
    Declaration,
    Dense,
    Network,
    Place,
    Residual,
    normalizes_batches,
    walk,
)
from app.learning.errors import LearningError, json_pointer
from app.learning.layout import Layout
from app.learning.problems import problems_of
from app.learning.specs.dense import NO_VARIANCE, lacks_variance

# What pydantic calls a number or a list that is larger than it may be.
OVER_LIMIT = frozenset({"less_than_equal", "too_long"})
# The least that any data set asks for: with fewer inputs there is nothing to learn.
SMALLEST = Layout(1)


def read(data: Mapping[str, Any], max_parameters: int) -> dict[str, Any]:
    """Check a declaration, whose network must be possible with the smallest of data sets; return it as it is stored.

    That is all of the network, what it leaves to defaults included, and of the parameters what it states.

    Raises: LearningError pointing at each layer or member that is wrong; its code is limits-exceeded where something
    is too large. Deterministic: yes.
    """
    try:
        declaration = Declaration.model_validate(data)
    except ValidationError as error:
        problems = problems_of(error, data)
        over = all(item["type"] in OVER_LIMIT for item in error.errors(include_url=False, include_input=False))
        code = "limits-exceeded" if over else None
        raise LearningError(problems[0]["detail"], code=code, pointer=problems[0]["pointer"], errors=problems) from None
    network = declaration.network
    _check_nesting(network)
    _check_widths(network.layers, LAYERS, None)
    _check_size(network, max_parameters)
    if normalizes_batches(network) and lacks_variance(declaration.params.batch_size):
        raise LearningError(NO_VARIANCE, pointer="/params/batch_size")
    return {
        "description": declaration.description,
        "network": network.model_dump(mode="json"),
        "params": dict(data.get("params", {})),
    }


def digest(stored: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a declaration means; its description is not part of that."""
    meaning = {name: stored[name] for name in ("network", "params")}
    return sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _check_nesting(network: Network) -> None:
    for number, (place, _) in enumerate(walk(network.layers), start=1):
        if number > MAX_LAYERS:
            raise _too_large(f"A network may have {MAX_LAYERS} layers, those inside of others included.", *place)
        if place.count("layers") > MAX_NESTING:
            raise _too_large(f"Layers may lie {MAX_NESTING} deep in each other.", *place)


def _check_widths(layers: Sequence[Any], place: Place, width: int | None) -> int | None:
    """Return the width after the layers; before the first dense layer it is the data's, and not known."""
    for index, layer in enumerate(layers):
        here = (*place, index)
        if isinstance(layer, Dense):
            width = layer.units
        elif isinstance(layer, Residual):
            if width is None:
                raise LearningError("A residual needs a dense layer somewhere before it.", pointer=json_pointer(*here))
            after = _check_widths(layer.layers, (*here, "layers"), width)
            if after != width:
                raise LearningError(
                    f"x has {width} values and the layers inside end with {after}: they cannot be added.",
                    pointer=json_pointer(*here),
                )
    return width


def _check_size(network: Network, max_parameters: int) -> None:
    total = embedding_parameters(network, SMALLEST)
    for place, own, _ in by_layer(network, input_width(network, SMALLEST)):
        total += own
        if total > max_parameters:
            raise _too_large(
                f"With this layer the network has {total:,} parameters at least; {max_parameters:,} are allowed.",
                *place,
            )


def _too_large(message: str, *place: str | int) -> LearningError:
    return LearningError(message, code="limits-exceeded", pointer=json_pointer(*place))
