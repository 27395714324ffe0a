"""How long a model takes to answer one row on this machine, measured on a row like those it learned from.

Shapes: seconds_N, one for each answer. Units: milliseconds. Deterministic: the row is; the times are what they are.
Source: ours; the percentile is that of `numpy.quantile`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from app.learning.columns import CategoryColumn, NumericColumn
from app.learning.data import NUMBER_TYPES
from app.learning.preprocess import Preparation
from app.learning.runtime import Predictor
from app.learning.values import name_of

FIRST_CALLS, MOST_CALLS, LEAST_CALLS = 10, 500, 50
MOST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of the time to answer one row, in milliseconds, over so many answers."""

    p50_ms: float
    p95_ms: float
    num_calls: int


def measure_one_row(predictor: Predictor) -> Latency:
    """Return the latency of one row, preparation and all; at least 50 answers, then as many as a second takes.

    Raises: InputError when the model refuses a row like those it learned from.
    """
    rows = [typical_row(predictor.preparation)]
    for _ in range(FIRST_CALLS):
        predictor.predict_rows(rows)
    seconds: list[float] = []
    ends = time.perf_counter() + MOST_SECONDS
    while len(seconds) < LEAST_CALLS or (len(seconds) < MOST_CALLS and time.perf_counter() < ends):
        started = time.perf_counter()
        predictor.predict_rows(rows)
        seconds.append(time.perf_counter() - started)
    p50, p95 = np.quantile(np.array(seconds), (0.5, 0.95)) * 1000
    return Latency(float(p50), float(p95), len(seconds))


def typical_row(preparation: Preparation) -> dict[str, object]:
    """Return a row as a client sends it: of numbers the centre of what was learned, of names the first."""
    return {column.name: _typical(column) for column in preparation.inputs}


def _typical(column: NumericColumn | CategoryColumn) -> object:
    if isinstance(column, CategoryColumn):
        return _as_stored(column.categories[0], column.stored) if column.categories else None
    kind = column.stored if column.stored in NUMBER_TYPES else column.type
    number = min(max(column.center, column.minimum), column.maximum)
    name = name_of(float(round(number)) if kind in ("integer", "boolean") else number, kind)
    return _as_stored(name, column.stored)


def _as_stored(name: str, stored: str) -> object:
    if stored == "boolean":
        return name == "true"
    if stored == "integer":
        return int(float(name))
    return float(name) if stored == "real" else name
