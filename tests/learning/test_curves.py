"""Curves of any length in few points: how many there are, what they keep, and that nothing but positions decides."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from app.learning.curves import FINEST, Curve, Point, stride


def points(values: list[float], *, piece: int = 1000) -> list[Point]:
    """The points of values that come in pieces, the last one included."""
    curve, made = Curve(), []
    for start in range(0, len(values), piece):
        made += curve.extend("loss", start + 1, values[start : start + piece])
    rest = curve.rest()
    return [*made, rest] if rest else made


def noise(num_values: int) -> list[float]:
    return np.random.default_rng(0).normal(size=num_values).tolist()


def test_ten_million_steps_are_a_few_thousand_points() -> None:
    position = num_points = 0
    while position < 10_000_000:
        position += stride(position + 1)
        num_points += 1
    assert num_points < 8100
    assert stride(10_000_000) <= 10_000_000 / 512


def test_the_first_values_are_points_of_their_own() -> None:
    made = points(noise(FINEST))
    assert [point.position for point in made] == list(range(1, FINEST + 1))
    assert all(point.low == point.high == {} for point in made)


def test_a_point_holds_mean_and_extremes_of_all_since_the_one_before() -> None:
    values = noise(20_000)
    made, before = points(values), 0
    for point in made:
        covered = values[before : point.position]
        assert 1 <= len(covered) <= max(1, point.position / 512)
        assert point.values["loss"] == pytest.approx(np.mean(covered))
        if len(covered) > 1:
            assert (point.low["loss"], point.high["loss"]) == (min(covered), max(covered))
        before = point.position
    assert before == len(values)


@pytest.mark.parametrize("piece", [1, 7, 1000, 100_000])
def test_where_points_lie_does_not_depend_on_how_values_come(piece: int) -> None:
    values = noise(5000)
    assert [(p.position, p.low, p.high) for p in points(values, piece=piece)] == [
        (p.position, p.low, p.high) for p in points(values)
    ]


def test_a_curve_goes_on_in_another_process() -> None:
    values, curve, made = noise(4000), Curve(), []
    for start in range(0, 4000, 37):
        made += curve.extend("loss", start + 1, values[start : start + 37])
        curve = Curve.from_json(json.loads(json.dumps(curve.to_json())))
    rest = curve.rest()
    assert made + ([rest] if rest else []) == points(values, piece=37)


def test_series_of_one_curve_share_their_points() -> None:
    curve = Curve()
    assert curve.add(1, {"a": 1.0, "b": 2.0}) == Point(1, {"a": 1.0, "b": 2.0}, {}, {})
    assert curve.add(2, {"a": 3.0}) == Point(2, {"a": 3.0}, {}, {})


def test_what_is_no_number_makes_no_point() -> None:
    curve = Curve()
    assert curve.add(1, {"a": math.nan, "b": math.inf}) is None
    assert curve.add(2, {"a": 1.0, "b": -math.inf}) == Point(2, {"a": 1.0}, {}, {})


def test_positions_may_be_left_out() -> None:
    curve, made = Curve(), []
    for position in range(1, 100_000, 97):
        point = curve.add(position, {"a": float(position)})
        made += [point] if point else []
    assert made[0].position == 1
    assert all(later.position > earlier.position for earlier, later in itertools.pairwise(made))
    assert max(made[-1].high.values()) >= made[-1].values["a"]
