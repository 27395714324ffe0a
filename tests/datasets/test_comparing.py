"""Two versions differ as their rows say: columns, types, missing cells, and how far each distribution moved."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import pytest

from app.datasets.asking import comparing, shifts
from tests.datasets.stored import ask, entries, table

RANDOM = np.random.default_rng(3)


def diff(base: dict[str, tuple[str, list[Any]]], other: dict[str, tuple[str, list[Any]]]) -> dict[str, Any]:
    """The difference of two tables, each given as name: (type, cells)."""
    types = [{name: kind for name, (kind, _) in side.items()} for side in (base, other)]
    rows = [list(zip(*(cells for _, cells in side.values()), strict=True)) for side in (base, other)]
    arguments = {"base": entries(types[0]), "other": entries(types[1])}
    answer: dict[str, Any] = ask("diff", arguments, base=table(types[0], rows[0]), other=table(types[1], rows[1]))
    json.dumps(answer, allow_nan=False)
    return answer


def moved(kind: str, before: list[Any], after: list[Any]) -> dict[str, Any]:
    column: dict[str, Any] = diff({"c": (kind, before)}, {"c": (kind, after)})["columns"][0]
    return column


def codes(answer: dict[str, Any]) -> list[tuple[str | None, str]]:
    return [(warning["column"], warning["code"]) for warning in answer["warnings"]]


def test_columns_that_came_went_or_changed_type_are_named() -> None:
    base = {"a": ("integer", [1]), "gone": ("text", ["x"]), "t": ("integer", [1])}
    other = {"new": ("real", [1.5]), "t": ("text", ["x"]), "a": ("integer", [1])}
    answer = diff(base, other)
    assert answer["columns_added"] == ["new"]
    assert answer["columns_removed"] == ["gone"]
    assert answer["types_changed"] == [{"name": "t", "base": "integer", "other": "text"}]
    assert codes(answer) == [("gone", "column-removed"), ("t", "type-changed"), (None, "few-rows")]
    assert [column["name"] for column in answer["columns"]] == ["a", "t"]
    assert answer["columns"][1]["shift"] is None


def test_a_table_does_not_differ_from_itself() -> None:
    columns: dict[str, tuple[str, list[Any]]] = {
        "n": ("integer", RANDOM.integers(0, 9, 600).tolist()),
        "c": ("category", ["a", None, "b"] * 200),
        "b": ("boolean", [True, None] * 300),
    }
    answer = diff(columns, columns)
    assert [(c["psi"], c["distance"], c["shift"]) for c in answer["columns"]] == [(0.0, 0.0, "none")] * 3
    assert answer["warnings"] == []
    assert answer["is_sampled"] is False


@pytest.mark.parametrize("by", [0.0, 0.3, 0.6, 2.0])
def test_the_distance_of_numbers_is_that_of_kolmogorov_and_smirnov(by: float) -> None:
    random = np.random.default_rng(3)
    before, after = random.normal(size=3_000), random.normal(by, 1, 2_000)
    column = moved("real", before.tolist(), after.tolist())
    points = np.concatenate([before, after])
    below = [np.searchsorted(np.sort(side), points, side="right") / len(side) for side in (before, after)]
    assert column["distance"] == pytest.approx(np.abs(below[0] - below[1]).max())
    assert column["shift"] == {0.0: "none", 0.3: "none", 0.6: "large", 2.0: "large"}[by]


def test_the_stability_index_is_what_its_definition_says() -> None:
    column = moved("category", ["a"] * 50 + ["b"] * 50, ["a"] * 30 + ["b"] * 70)
    assert column["psi"] == pytest.approx(-0.2 * math.log(0.3 / 0.5) + 0.2 * math.log(0.7 / 0.5))
    assert column["distance"] == pytest.approx(0.2)
    assert column["shift"] == "moderate"
    assert moved("integer", list(range(100)), [5] * 100)["psi"] == pytest.approx(
        (1 - 0.1) * math.log(1 / 0.1) + 9 * (shifts.MIN_SHARE - 0.1) * math.log(shifts.MIN_SHARE / 0.1)
    )


def test_classes_beyond_the_frequent_ones_count_as_one() -> None:
    before = [f"k{i}" for i in range(60)] * 3 + [f"k{i}" for i in range(50)]
    after = [f"k{i}" for i in range(50)] * 4 + ["k59"] * 30
    column = moved("category", before, after)
    assert column["psi"] == pytest.approx(0.0)
    assert column["distance"] > 0
    assert column["new_values_share"] == 0


def test_values_that_were_not_there_and_missing_cells_are_warned_about() -> None:
    answer = diff(
        {"c": ("category", ["a"] * 600), "n": ("real", [1.0] * 600)},
        {"c": ("category", ["a"] * 588 + ["b"] * 12), "n": ("real", [1.0] * 500 + [None] * 100)},
    )
    assert answer["columns"][0]["new_values_share"] == pytest.approx(0.02)
    assert answer["columns"][1]["missing_share"] == {"base": 0.0, "other": pytest.approx(1 / 6)}
    assert codes(answer) == [("c", "new-values"), ("n", "missing-shift")]


def test_moments_are_compared_as_numbers_and_free_text_is_not_compared() -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 29)] * 20
    before = [dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) for day in days]
    after = [moment + dt.timedelta(days=20) for moment in before]
    assert moved("datetime", before, after)["shift"] == "large"
    assert moved("text", days, days)["psi"] is None


@pytest.mark.parametrize("kind", ["real", "category"])
def test_columns_without_values_have_no_shift(kind: str) -> None:
    column = moved(kind, [None, None], [None, None])
    assert (column["psi"], column["shift"], column["missing_share"]) == (None, None, {"base": 1.0, "other": 1.0})


def test_large_tables_are_sampled_the_same_way_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MAX_ROWS", 500)
    before, after = RANDOM.normal(size=5_000).tolist(), RANDOM.normal(3, 1, 400).tolist()
    base: dict[str, tuple[str, list[Any]]] = {"c": ("real", before)}
    answer = diff(base, {"c": ("real", after)})
    assert answer["is_sampled"] is True
    assert answer["num_rows"] == {"base": 5_000, "other": 400}
    assert answer["columns"][0]["shift"] == "large"
    assert diff(base, {"c": ("real", after)}) == answer
