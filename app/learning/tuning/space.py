"""The space of a study: which values each parameter may take, checked against the parameters of a spec.

A space is JSON: {"learning_rate": {"type": "float", "low": 1e-4, "high": 0.1, "log": true}, ...}. Where the order of
parameters matters, it is that of their names, because stored JSON keeps none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from app.learning.errors import LearningError, Problem, json_pointer, shown
from app.learning.problems import problems_of
from app.learning.tuning.dimensions import DIMENSIONS, Choices, Dimension

MAX_DIMENSIONS = 64
MAX_NAME_CHARACTERS = 200
MAX_GRID = 10_000
Space = dict[str, Dimension]
# What a request may send, for the document of the API.
SCHEMA = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MAX_DIMENSIONS,
    "additionalProperties": {"oneOf": [each.model_json_schema() for each in DIMENSIONS.values()]},
}


def parse(space: Mapping[str, Any]) -> Space:
    """Return the checked space, in the order of names.

    Raises: LearningError; `errors` lists every place below /space.
    """
    if not 1 <= len(space) <= MAX_DIMENSIONS:
        raise LearningError(f"A space has 1 to {MAX_DIMENSIONS} parameters.", pointer="/space")
    dimensions: Space = {}
    problems: list[Problem] = []
    for name in sorted(space):
        try:
            dimensions[name] = _dimension(name, space[name])
        except LearningError as error:
            problems += error.errors
    _refuse(problems)
    return dimensions


def _dimension(name: str, given: Any) -> Dimension:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        message = f"A name has 1 to {MAX_NAME_CHARACTERS} characters."
        raise LearningError(message, pointer=json_pointer("space", name[:MAX_NAME_CHARACTERS]))
    if not isinstance(given, dict):
        raise LearningError("Input should be an object", pointer=json_pointer("space", name))
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in DIMENSIONS:
        message = f"There is no type {shown(kind)}; there are: {', '.join(DIMENSIONS)}."
        raise LearningError(message, pointer=json_pointer("space", name, "type"))
    try:
        return DIMENSIONS[kind].model_validate(given)
    except ValidationError as error:
        problems = problems_of(error, given, "space", name)
        raise LearningError(problems[0]["detail"], errors=problems) from None


def check_grid(space: Space) -> int:
    """Return how many combinations a grid has. Raises: LearningError when it has too many, or a number has no step."""
    problems: list[Problem] = [
        {"pointer": json_pointer("space", name, "step"), "detail": "a grid needs a step"}
        for name, dimension in space.items()
        if dimension.num_values is None
    ]
    _refuse(problems)
    size = math.prod(dimension.num_values or 1 for dimension in space.values())
    if size > MAX_GRID:
        raise LearningError(f"The grid has {size:,} combinations; at most {MAX_GRID:,} are tried.", pointer="/space")
    return size


def check_parameters(space: Space, params: type[BaseModel], fixed: Mapping[str, Any]) -> None:
    """Hold every end and every choice against the parameters of a spec.

    Raises: LearningError; `errors` has a pointer below /space for each value that the spec refuses, and for each
    parameter that it does not have or that is fixed already.
    """
    problems = list(_misplaced(space, params, fixed))
    _refuse(problems)
    for name, dimension in space.items():
        for place, value in dimension.probes:
            detail = _refusal(params, {**fixed, name: value}, name)
            if detail is not None:
                problems.append({"pointer": json_pointer("space", name, *place.split("/")), "detail": detail})
    _refuse(problems)
    for combination in combinations(space):
        given = {**fixed, **combination}
        try:
            params.model_validate(given)
        except ValidationError as error:
            found = problems_of(error, given, "params")
            _refuse([{**each, "pointer": into_space(each["pointer"], space)} for each in found])


def into_space(pointer: str, space: Mapping[str, Any]) -> str:
    """Return where in the request a refused parameter comes from: /params/x is /space/x where the space has x."""
    first = pointer.removeprefix("/params/").split("/")[0]
    name = first.replace("~1", "/").replace("~0", "~")
    return json_pointer("space", name) if pointer.startswith("/params/") and name in space else pointer


def corners(space: Space) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the combination of all first values, and that of all last ones."""
    probes = {name: [value for _, value in dimension.probes] for name, dimension in space.items()}
    return {name: values[0] for name, values in probes.items()}, {name: values[-1] for name, values in probes.items()}


def combinations(space: Space) -> Iterator[dict[str, Any]]:
    """Yield the corners, and each choice beside the first values of the others: what no spec may refuse."""
    first, last = corners(space)
    yield first
    yield last
    for name, dimension in space.items():
        if isinstance(dimension, Choices):
            yield from ({**first, name: choice} for choice in dimension.choices[1:])


def _misplaced(space: Space, params: type[BaseModel], fixed: Mapping[str, Any]) -> Iterator[Problem]:
    for name in space:
        if name not in params.model_fields:
            yield {"pointer": json_pointer("space", name), "detail": "There is no such parameter here."}
        elif name in fixed:
            yield {"pointer": json_pointer("space", name), "detail": "params fixes this parameter already."}


def _refusal(params: type[BaseModel], given: Mapping[str, Any], name: str) -> str | None:
    """Return what is wrong with one parameter by itself, if anything is."""
    try:
        params.model_validate(given)
    except ValidationError as error:
        # An inconsistency is between several parameters: `combinations` shows those.
        alone = [each for each in error.errors(include_url=False) if each["loc"][:1] == (name,)]
        here = json_pointer("params", name)
        problems = problems_of(error, given, "params") if alone else []
        return next((each["detail"] for each in problems if f"{each['pointer']}/".startswith(f"{here}/")), None)
    return None


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise LearningError(problems[0]["detail"], errors=problems)
