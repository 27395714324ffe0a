"""How far what a model is asked today lies from what it was trained on, column by column; imports no torch.

What is known of the training data is its profile: a histogram of numbers, counts of the most frequent names. Shapes:
values (n,), edges (k + 1,), counts (k,). Deterministic: yes. Source: the population stability index with its usual
limits, Siddiqi, Credit Risk Scorecards, Wiley 2006; the test of Kolmogorov and Smirnov with the approximation of
Stephens, JRSS B 32, 1970, here between the edges of the histogram, which makes it a little less sensitive.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from app.learning.values import coerce, seconds

LEAST_ROWS = 50
MODERATE, LARGE = 0.1, 0.25
# Bins that hold less of the training data than this are joined to their neighbours.
LEAST_SHARE = 0.1
# Rows added to each bin, so that an empty one does not make the index infinite.
PRIOR = 0.5
MAX_NEW_NAMES = 5


class Missing(TypedDict):
    """The share of missing cells."""

    training: float
    now: float


class Drift(TypedDict):
    """How a column has moved. Without enough values `level` is "unknown", and there are no figures."""

    name: str
    type: str
    num_values: int
    missing: Missing
    psi: float | None
    level: str
    ks: NotRequired[float]
    p_value: NotRequired[float]
    new_names: NotRequired[list[str]]


def measure(column: Mapping[str, Any], num_rows: int, cells: Sequence[object]) -> Drift:
    """Compare cells with a profiled column of a table of so many rows; a cell that cannot be read counts as missing."""
    kind = column["type"]
    values = coerce(cells, kind, lambda row, error: None)
    present = [value for value in values.tolist() if value is not None and value == value]
    missing: Missing = {
        "training": column["num_missing"] / max(1, num_rows),
        "now": 1 - len(present) / max(1, len(cells)),
    }
    drift: Drift = {
        "name": column["name"], "type": kind, "num_values": len(present), "missing": missing,
        "psi": None, "level": "unknown",
    }  # fmt: skip
    if len(present) >= LEAST_ROWS and column.get("histogram"):
        _measure_numbers(drift, column["histogram"], np.sort(np.array(present, np.float64)))
    elif len(present) >= LEAST_ROWS and column.get("top"):
        names = {_named(each["value"]): each["count"] for each in column["top"]}
        _measure_names(drift, names, num_rows - column["num_missing"], column["num_distinct"], present)
    return drift


def stability(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the population stability index of two sets of counts over the same bins."""
    p_K, q_K = (np.asarray(counts, np.float64) + PRIOR for counts in (expected, found))
    p_K, q_K = p_K / p_K.sum(), q_K / q_K.sum()
    return float(((q_K - p_K) * np.log(q_K / p_K)).sum())


def smirnov(distance: float, num_left: float, num_right: float) -> float:
    """Return the probability of such a distance, or a larger one, between samples of one distribution."""
    root = math.sqrt(num_left * num_right / (num_left + num_right))
    x = (root + 0.12 + 0.11 / root) * distance
    if x < 0.2:
        return 1.0
    terms = ((-1.0) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, 2.0 * math.fsum(terms)))


def _measure_numbers(drift: Drift, histogram: Mapping[str, Any], sorted_B: NDArray[np.float64]) -> None:
    edges = np.array([_number(edge) for edge in histogram["edges"]], np.float64)
    counts = np.array(histogram["counts"], np.float64)
    # Values on an edge count to the right of it, and the largest of the training data to the last bin.
    below = np.searchsorted(sorted_B, edges, side="left").astype(np.float64)
    below[-1] = np.searchsorted(sorted_B, edges[-1], side="right")
    trained = np.concatenate([[0.0], np.cumsum(counts)])
    drift["ks"] = float(np.abs(trained / trained[-1] - below / len(sorted_B)).max())
    drift["p_value"] = smirnov(drift["ks"], trained[-1], len(sorted_B))
    inner = _joined(trained[1:-1] / trained[-1])
    places = [0.0, *below[1:-1][inner], len(sorted_B)]
    _judge(drift, stability(np.diff([0.0, *trained[1:-1][inner], trained[-1]]).tolist(), np.diff(places).tolist()))


def _joined(shares: NDArray[np.float64]) -> list[int]:
    """The inner edges to keep, given the share of the training data below each: bins are a tenth of it, or more."""
    kept, last = [], 0.0
    for index, share in enumerate(shares.tolist()):
        if share - last >= LEAST_SHARE and 1 - share >= LEAST_SHARE:
            kept.append(index)
            last = share
    return kept


def _measure_names(
    drift: Drift, names: Mapping[str, int], num_known: int, num_distinct: int, present: Sequence[object]
) -> None:
    found = Counter(map(_named, present))
    others = max(0, num_known - sum(names.values()))
    counts = [found[name] for name in names]
    new = [name for name, _ in found.most_common() if name not in names]
    if num_distinct <= len(names):
        drift["new_names"] = new[:MAX_NEW_NAMES]
    _judge(drift, stability([*names.values(), others], [*counts, len(present) - sum(counts)]))


def _judge(drift: Drift, psi: float) -> None:
    drift["psi"] = psi
    drift["level"] = "large" if psi >= LARGE else "moderate" if psi >= MODERATE else "small"


def _number(edge: object) -> float:
    return seconds(datetime.fromisoformat(edge)) if isinstance(edge, str) else float(edge)  # type: ignore[arg-type]


def _named(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # Booleans are stored as 0.0 and 1.0.
    return {0.0: "false", 1.0: "true"}.get(value, str(value)) if isinstance(value, float) else str(value)
