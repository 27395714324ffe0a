"""The evaluation of a model on one set of rows, as one JSON document of bounded size.

Deterministic: a function of answers, rows and seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.learning.data import Values
from app.learning.evaluation.answered import Answered
from app.learning.evaluation.bootstrap import LEVEL, intervals
from app.learning.evaluation.conformal import covered
from app.learning.evaluation.curves import charts_of, coverage_chart, slices_chart
from app.learning.evaluation.slices import LEAST_ROWS, slices_of, worst_first
from app.learning.metrics import Floats, measured

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns (B,) of the measured rows, in the stored form of data.py, with their types."""

    values: Mapping[str, Values]
    types: Mapping[str, str]
    every: bool = False  # also those with many values


@dataclass(frozen=True, slots=True)
class Served:
    """What a version brings besides its answers: temperature, sets, and quantiles of its errors on held-out rows."""

    temperature: float = 1.0
    conformal: Mapping[str, Any] | None = None
    offsets: Floats | None = None


def primary_metric(answered: Answered) -> str:
    """The metric by which slices are ordered and models are chosen."""
    return "rmse" if answered.head.task == "regression" else "log_loss"


def describe_answers(
    answered: Answered, columns: Columns, served: Served, *, seed: int, is_new: bool
) -> dict[str, Any]:
    """Return metrics with intervals, charts and slices; `is_new` says that the rows had no part in the training."""
    metric = primary_metric(answered)
    scores = answered.scores(served.offsets)
    slices = _slices(answered, columns, served, metric)
    charts = charts_of(answered, temperature=served.temperature) | {"slices": slices_chart(slices, metric)}
    found = covered(answered, served.conformal) if served.conformal and is_new else []
    if found:
        charts["coverage"] = coverage_chart(found)
    return {
        "num_rows": len(answered),
        "metrics": measured(scores),
        "intervals": intervals(scores, seed=seed),
        "level": LEVEL,
        "primary_metric": metric,
        "coverage": found,
        "charts": charts,
        "slices": slices,
    }


def _slices(answered: Answered, columns: Columns, served: Served, metric: str) -> list[dict[str, Any]]:
    found = []
    for each in slices_of(columns.values, columns.types, every=columns.every):
        num_rows = int(each.mask_B.sum())
        if num_rows >= LEAST_ROWS:
            metrics = measured(answered.take(each.mask_B).scores(served.offsets))
            place = {"column": each.column, "label": each.label, "low": each.low, "high": each.high}
            found.append({**place, "num_rows": num_rows, "metrics": metrics})
    return worst_first(found, metric)


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the document as JSON; a number that is none becomes null."""
    return json.dumps(_finite(document), allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
