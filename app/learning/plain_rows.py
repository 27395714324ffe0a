"""The short way of ordinary rows: values that no policy has to deal with become inputs without arrays in between.

Most predictions ask for one row or a few, of numbers within the range seen in training and of names that training
knew. There the fixed cost of array operations is most of the time. A request with anything else in it takes the
general way, `Preparation.read` and `transform`, to which this one is equal bit by bit.

Shapes: x_BF (rows, inputs) float32, as in preprocess.py. Deterministic: no randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import le, sub, truediv
from typing import Any

import numpy as np

from app.learning.columns import CategoryColumn, NumericColumn
from app.learning.preprocess import Inputs, Preparation
from app.learning.values import PLAIN_NUMBERS

MAX_ROWS = 16
NUMBERS = ("integer", "real")


class PlainRows:
    """The ordinary rows of one preparation."""

    def __init__(self, preparation: Preparation) -> None:
        places = list(enumerate(preparation.inputs))
        numeric = [(place, column) for place, column in places if isinstance(column, NumericColumn)]
        self._places = [place for place, _ in numeric]
        self._minima, self._maxima = [c.minimum for _, c in numeric], [c.maximum for _, c in numeric]
        self._centers, self._scales = [c.center for _, c in numeric], [c.scale for _, c in numeric]
        self._rest = [0.0] * (preparation.layout.num_inputs - len(numeric))
        start = len(numeric) + sum(column.indicator for _, column in numeric)
        self._names: list[tuple[int, int, dict[str | None, int], int]] = []
        for place, column in places:
            if isinstance(column, CategoryColumn):
                divisor = {"ordinal": column.num_slots, "index": 1}.get(column.encoding, 0)
                self._names.append((place, start, column.slots(), divisor))
                start += column.block.num_inputs
        self._applies = all(map(_is_simple, preparation.inputs))

    def encode(self, values: Sequence[Sequence[object]]) -> Inputs | None:
        """Return x_BF for rows of JSON values in the order of the input columns, or None unless all are ordinary."""
        rows = self.encode_few(values)
        return None if rows is None else np.array(rows, np.float32)

    def encode_few(self, values: Sequence[Sequence[object]]) -> list[list[float]] | None:
        """Return the rows of x_BF, of float64 still, for at most MAX_ROWS rows; None unless all are ordinary."""
        if not self._applies or len(values) > MAX_ROWS:
            return None
        rows = []
        for row in values:
            encoded = self._encode_row(row)
            if encoded is None:
                return None
            rows.append(encoded)
        return rows

    def _encode_row(self, row: Sequence[object]) -> list[float] | None:
        numbers: Any = [row[place] for place in self._places]
        is_ordinary = (
            PLAIN_NUMBERS.issuperset(map(type, numbers))
            and all(map(le, self._minima, numbers))
            and all(map(le, numbers, self._maxima))
        )
        if not is_ordinary:
            return None
        encoded = [*map(truediv, map(sub, numbers, self._centers), self._scales), *self._rest]
        for place, start, slots, divisor in self._names:
            name = row[place]
            slot = slots.get(name) if type(name) is str else None
            if slot is None:
                return None
            if divisor:
                encoded[start] = (slot + 1) / divisor
            else:
                encoded[start + slot] = 1.0
        return encoded


def _is_simple(column: NumericColumn | CategoryColumn) -> bool:
    if isinstance(column, NumericColumn):
        return column.stored in NUMBERS and column.type in NUMBERS and not (column.quantiles or column.levels)
    return column.stored == column.type
