"""Drift: nothing moves where nothing has moved, and what has moved is found, with figures that are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from app.learning.drift import measure, smirnov, stability

RNG = np.random.default_rng(3)
TRAINED = RNG.normal(size=20_000)


def numbers(values: np.ndarray[Any, Any], **more: Any) -> dict[str, Any]:
    counts, edges = np.histogram(values, 20)
    histogram = {"edges": edges.tolist(), "counts": counts.tolist()}
    return {"name": "x", "type": "real", "num_missing": 0, "num_distinct": 9, "histogram": histogram, "top": [], **more}


def names(**counts: int) -> dict[str, Any]:
    top = [{"value": name, "count": count} for name, count in counts.items()]
    return {"name": "c", "type": "category", "num_missing": 0, "num_distinct": len(top), "histogram": None, "top": top}


def test_the_index_of_two_known_distributions_is_their_symmetric_divergence() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    expected = float(((p - q) * np.log(p / q)).sum())
    assert stability((p * 1e6).tolist(), (q * 1e6).tolist()) == pytest.approx(expected, rel=1e-4)
    assert stability([10.0, 20.0], [100.0, 200.0]) < 0.01


@pytest.mark.parametrize("distance", [0.02, 0.05, 0.1, 0.3])
def test_the_probability_of_a_distance_is_that_of_kolmogorov(distance: float) -> None:
    root = math.sqrt(200 * 300 / 500)
    assert smirnov(distance, 200, 300) == pytest.approx(stats.kstwobign.sf(distance * root), abs=0.03)


def test_rows_like_those_in_training_have_not_moved() -> None:
    drift = measure(numbers(TRAINED), len(TRAINED), RNG.normal(size=2000).tolist())
    assert (drift["level"], drift["missing"]) == ("small", {"training": 0.0, "now": 0.0})
    assert drift["psi"] is not None
    assert drift["psi"] < 0.03
    assert drift["p_value"] > 0.01


@pytest.mark.parametrize(("shift", "level"), [(0.4, "moderate"), (1.0, "large"), (50.0, "large"), (-50.0, "large")])
def test_moved_numbers_are_found(shift: float, level: str) -> None:
    values = (RNG.normal(size=2000) + shift).tolist()
    drift = measure(numbers(TRAINED), len(TRAINED), values)
    assert drift["level"] == level
    assert drift["p_value"] < 1e-6
    assert drift["ks"] == pytest.approx(stats.ks_2samp(TRAINED, values).statistic, abs=0.05)


def test_names_that_become_more_frequent_or_are_new_are_found() -> None:
    column = names(a=500, b=300, c=200)
    like = measure(column, 1000, ["a"] * 250 + ["b"] * 150 + ["c"] * 100)
    assert (like["level"], like["new_names"]) == ("small", [])
    moved = measure(column, 1000, ["a"] * 100 + ["c"] * 300 + ["d"] * 100)
    assert (moved["level"], moved["new_names"]) == ("large", ["d"])


def test_more_missing_cells_are_told_and_what_cannot_be_read_counts_as_missing() -> None:
    cells = [None] * 100 + ["no number"] * 100 + RNG.normal(size=200).tolist()
    drift = measure(numbers(TRAINED, num_missing=2000), 22_000, cells)
    assert drift["missing"] == {"training": pytest.approx(1 / 11), "now": 0.5}
    assert drift["num_values"] == 200


def test_too_few_values_tell_nothing() -> None:
    drift = measure(numbers(TRAINED), len(TRAINED), [9.0] * 49)
    assert (drift["psi"], drift["level"]) == (None, "unknown")


def test_a_constant_column_can_move() -> None:
    drift = measure(numbers(np.full(100, 7.0)), 100, [7.0] * 60)
    assert drift["level"] == "small"
    assert measure(numbers(np.full(100, 7.0)), 100, [9.0] * 60)["ks"] == 1


def test_booleans_and_moments_are_read_as_they_are_profiled() -> None:
    flags = names() | {"type": "boolean", "num_distinct": 2}
    flags["top"] = [{"value": True, "count": 50}, {"value": False, "count": 50}]
    assert measure(flags, 100, [True, False] * 50)["level"] == "small"
    assert measure(flags, 100, [True] * 100)["level"] == "large"
    edges = ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"]
    moments = names() | {"type": "datetime", "histogram": {"edges": edges, "counts": [50, 50]}}
    assert measure(moments, 100, ["2020-06-01", "2021-06-01"] * 50)["level"] == "small"
    assert measure(moments, 100, ["2030-06-01"] * 100)["ks"] == 1
