"""Answers to one row held against each other and against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Probabilities by class, or a value.
Told = Mapping[str, float] | float
# Squared errors beyond this would not fit into a column of numbers.
LARGEST_ERROR = 1e300


def is_same_label(label: object, other: object) -> bool:
    """Whether two labels are one: true is no 1 here, and "1" is none either."""
    return type(label) is type(other) and label == other


def difference(told: Told, other: Told) -> float:
    """The absolute difference of two values, or the mean one of probabilities over the classes of either.

    Raises: TypeError when one is a value and the other one is not.
    """
    if isinstance(told, Mapping) and isinstance(other, Mapping):
        classes = told.keys() | other.keys()
        return sum(abs(told.get(k, 0.0) - other.get(k, 0.0)) for k in classes) / len(classes)
    if isinstance(told, float) and isinstance(other, float):
        return abs(told - other)
    raise TypeError("one of the versions answers classes, the other one values")


def judge(output: Mapping[str, Any], truth: Any) -> tuple[int | None, float | None]:
    """What the truth says of a native answer: 1 or 0 of a label, the squared error of a value."""
    if "value" in output:
        error = float(truth) - output["value"]
        return None, min(error * error, LARGEST_ERROR)
    return int(is_same_label(output.get("label"), truth)), None
