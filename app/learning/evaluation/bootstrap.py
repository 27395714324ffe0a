"""Intervals around metrics, and whether one model is better than another, from resampled rows.

Shapes: w_RB how often each of B rows was drawn in each of R resamples. Deterministic: a function of scores and seed.
Source: the percentile bootstrap, Efron, Annals of Statistics 7, 1979; paired over rows as in Efron and Tibshirani,
An Introduction to the Bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import numpy as np

from app.learning.metrics import HIGHER_IS_BETTER, Floats, Scores, measured

LEVEL = 0.95
MOST_RESAMPLES, LEAST_RESAMPLES = 1000, 100
# Rows to go over in all: as many resamples as fit, which for many rows are fewer and differ less.
MOST_DRAWS = 5_000_000
# Of more rows not even the fewest resamples are worth their time; their intervals would be narrow.
MOST_ROWS, MOST_RANKED = 2_000_000, 300_000
DRAWS_AT_ONCE = 1_000_000
STREAM = 0xB007
# A metric that so few resamples define (a class may be missing in them) has no interval.
LEAST_DEFINED = 0.9

Interval = tuple[float, float]


class Difference(TypedDict):
    """How two models differ in one metric, the first minus the second."""

    first: float
    second: float
    difference: float
    interval: Interval
    probability_better: float
    p_value: float


def num_resamples(scores: Scores) -> tuple[int, bool]:
    """Return how many resamples are affordable, and whether metrics that rank the rows of each are, too."""
    return affordable(scores.num_rows, scores.num_rankings)


def affordable(num_rows: int, num_rankings: int) -> tuple[int, bool]:
    """Return the same for so many rows, which some metrics rank so many times."""
    ranked = num_rows * num_rankings <= MOST_RANKED
    if not 1 < num_rows <= MOST_ROWS:
        return 0, ranked
    cost = num_rows * (max(1, num_rankings) if ranked else 1)
    return max(LEAST_RESAMPLES, min(MOST_RESAMPLES, MOST_DRAWS // cost)), ranked


def intervals(scores: Scores, *, seed: int, level: float = LEVEL) -> dict[str, Interval]:
    """Return the interval of every metric that nearly all resamples define."""
    count, ranked = num_resamples(scores)
    batches = [scores.measure(w_RB, ranked=ranked) for w_RB in _resamples(scores.num_rows, count, seed)]
    if not batches:
        return {}
    drawn = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return {name: _quantiles(values_R, level) for name, values_R in drawn.items() if _is_defined(values_R)}


def compare(first: Scores, second: Scores, *, seed: int, level: float = LEVEL) -> dict[str, Difference]:
    """Return the differences of the metrics of two models on the same rows, both resampled alike.

    `probability_better` is the share of resamples in which the first is better (ties count half); `p_value` is
    two-sided: twice the smaller share on either side of no difference.
    """
    count, ranked = num_resamples(first)
    pairs = [
        (first.measure(w_RB, ranked=ranked), second.measure(w_RB, ranked=ranked))
        for w_RB in _resamples(first.num_rows, count, seed)
    ]
    points = measured(first), measured(second)
    drawn = {
        name: np.concatenate([a[name] - b[name] for a, b in pairs])
        for name in (pairs[0][0].keys() & pairs[0][1].keys() if pairs else ())
    }
    return {
        name: _difference(name, points[0][name], points[1][name], difference_R, level)
        for name, difference_R in sorted(drawn.items())
        if name in points[0] and name in points[1] and _is_defined(difference_R)
    }


def _difference(name: str, first: float, second: float, difference_R: Floats, level: float) -> Difference:
    defined_R = difference_R[np.isfinite(difference_R)]
    above = float((defined_R > 0).mean() + (defined_R == 0).mean() / 2)
    # No share of so many resamples is known to be smaller than one of them.
    p_value = max(2 * min(above, 1 - above), 1 / len(defined_R))
    return {
        "first": first,
        "second": second,
        "difference": first - second,
        "interval": _quantiles(defined_R, level),
        "probability_better": above if name in HIGHER_IS_BETTER else 1 - above,
        "p_value": min(1.0, p_value),
    }


def _resamples(num_rows: int, count: int, seed: int) -> Iterator[Floats]:
    generator = np.random.default_rng([STREAM, seed])
    at_once = max(1, DRAWS_AT_ONCE // max(1, num_rows))
    while count > 0:
        num = min(at_once, count)
        drawn = generator.integers(num_rows, size=(num, num_rows)) + np.arange(num)[:, None] * num_rows
        yield np.bincount(drawn.ravel(), minlength=num * num_rows).reshape(num, num_rows).astype(np.float64)
        count -= num


def _is_defined(values_R: Floats) -> bool:
    return float(np.isfinite(values_R).mean()) >= LEAST_DEFINED


def _quantiles(values_R: Floats, level: float) -> Interval:
    low, high = np.nanquantile(values_R, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
