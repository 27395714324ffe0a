"""Parts of the rows by the values of one column: where a model is worse than elsewhere.

Shapes: a column (B,) in the stored form of data.py, a mask (B,) for each slice. Deterministic: yes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.data import NUMBER_TYPES, Values, is_missing
from app.learning.values import iso, name_of

MOST_VALUES = 20
LEAST_ROWS = 10
MOST_SLICES = 200
MAX_LABEL = 64


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows in which a column has one value, or lies in one quarter of its range (`low` <= x < `high`)."""

    column: str
    label: str
    mask_B: NDArray[np.bool_]
    low: float | None = None
    high: float | None = None


def slices_of(columns: Mapping[str, Values], types: Mapping[str, str], *, every: bool = False) -> Iterator[Slice]:
    """Return the slices of columns by value, or by quarter where they are numbers, and the rows without a value.

    Columns with more than 20 values are left out, or with `every` sliced by the most frequent ones and all others.
    """
    for name, values in columns.items():
        missing_B = is_missing(values)
        if missing_B.all():
            continue
        if types[name] in NUMBER_TYPES - {"boolean"}:
            yield from _quarters(name, values, missing_B, types[name])
        else:
            yield from _by_value(name, values, missing_B, types[name], every=every)
        if missing_B.any():
            yield Slice(name, "missing", missing_B)


def _by_value(name: str, values: Values, missing_B: NDArray[np.bool_], stored: str, *, every: bool) -> Iterator[Slice]:
    distinct, inverse, counts = np.unique(values[~missing_B], return_inverse=True, return_counts=True)
    if len(distinct) > MOST_VALUES and not every:
        return
    kept = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    slot_B = np.full(len(values), -1)
    slot_B[~missing_B] = inverse
    for slot in kept.tolist():
        value = distinct[slot]
        label = name_of(float(value), stored) if stored in NUMBER_TYPES else str(value)
        yield Slice(name, label[:MAX_LABEL], slot_B == slot)
    if len(kept) < len(distinct):
        yield Slice(name, "other values", ~missing_B & ~np.isin(slot_B, kept))


def _quarters(name: str, values: Values, missing_B: NDArray[np.bool_], stored: str) -> Iterator[Slice]:
    present = values[~missing_B]
    edges = np.unique(np.quantile(present, (0.0, 0.25, 0.5, 0.75, 1.0)))
    for index in range(max(1, len(edges) - 1)):
        low, high = float(edges[index]), float(edges[min(index + 1, len(edges) - 1)])
        is_last = index >= len(edges) - 2
        with np.errstate(invalid="ignore"):
            mask_B = (values >= low) & ((values <= high) if is_last else (values < high))
        yield Slice(name, f"{_shown(low, stored)} to {_shown(high, stored)}", mask_B, low, high)


def _shown(value: float, stored: str) -> str:
    return iso(value) if stored == "datetime" else f"{value:.6g}"


def worst_first(found: list[dict[str, Any]], loss: str) -> list[dict[str, Any]]:
    """Return the slices with the largest values of a loss first, at most 200 of them."""
    return sorted(found, key=lambda each: (-each["metrics"].get(loss, 0.0), each["column"], each["label"]))[
        :MOST_SLICES
    ]
