"""The short way of ordinary rows: values that no policy has to deal with become inputs without arrays in between.

Most predictions ask for one row or a few, of numbers within the range seen in training and of names that training
knew. There the fixed cost of array operations is most of the time. A request with anything else in it takes the
general way, `Preparation.read` and `transform`, to which this one is equal bit by bit.

Shapes: x_BF (rows, inputs) float32, as in preprocess.py. Deterministic: no randomness.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from app.learning.columns import CategoryColumn, NumericColumn
from app.learning.preprocess import Inputs, Preparation
from app.learning.values import PLAIN_NUMBERS

MAX_ROWS = 16
NUMBERS = ("integer", "real")


class PlainRows:
    """The ordinary rows of one preparation."""

    def __init__(self, preparation: Preparation) -> None:
        self._num_inputs = preparation.layout.num_inputs
        places = list(enumerate(preparation.inputs))
        numeric = [(place, column) for place, column in places if isinstance(column, NumericColumn)]
        self._numbers = [
            (place, index, column.minimum, column.maximum, column.center, column.scale)
            for index, (place, column) in enumerate(numeric)
        ]
        start = len(numeric) + sum(column.indicator for _, column in numeric)
        self._names: list[tuple[int, int, dict[str | None, int], int]] = []
        for place, column in places:
            if isinstance(column, CategoryColumn):
                divisor = {"ordinal": column.num_slots, "index": 1}.get(column.encoding, 0)
                self._names.append((place, start, column.slots(), divisor))
                start += column.block.num_inputs
        self._applies = all(map(_is_simple, preparation.inputs))
        self._only_numbers = not self._names and [place for place, *_ in self._numbers] == list(range(len(places)))
        bounds = [each[2:] for each in self._numbers]
        self._low_F, self._high_F, self._center_F, self._scale_F = np.array(bounds, np.float64).reshape(-1, 4).T

    def encode(self, values: Sequence[Sequence[object]]) -> Inputs | None:
        """Return x_BF for rows of JSON values in the order of the input columns, or None unless all are ordinary."""
        if not self._applies:
            return None
        if len(values) > MAX_ROWS:
            return self._encode_numbers(values) if self._only_numbers else None
        rows = []
        for row in values:
            encoded = self._encode_row(row)
            if encoded is None:
                return None
            rows.append(encoded)
        return np.array(rows, np.float32)

    def _encode_numbers(self, values: Sequence[Sequence[object]]) -> Inputs | None:
        """Many rows of nothing but numbers, which become one array at once."""
        flat = array("d")
        try:
            for row in values:
                flat.extend(row)  # type: ignore[arg-type]
        except (TypeError, OverflowError):
            return None
        given_BF = np.frombuffer(flat).reshape(len(values), -1)
        if not ((given_BF >= self._low_F) & (given_BF <= self._high_F)).all():
            return None
        # What Python takes for 0 or 1 may have been false or true.
        rows_n, columns_n = np.nonzero((given_BF == 0) | (given_BF == 1))
        if any(
            type(values[row][column]) is bool for row, column in zip(rows_n.tolist(), columns_n.tolist(), strict=True)
        ):
            return None
        x_BF = np.zeros((len(values), self._num_inputs), np.float32)
        x_BF[:, : len(self._numbers)] = (given_BF - self._center_F) / self._scale_F
        return x_BF

    def _encode_row(self, row: Sequence[object]) -> list[float] | None:
        encoded = [0.0] * self._num_inputs
        for place, index, low, high, center, scale in self._numbers:
            value = row[place]
            if type(value) not in PLAIN_NUMBERS or not low <= value <= high:  # type: ignore[operator]
                return None
            encoded[index] = (value - center) / scale  # type: ignore[operator]
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
