"""From a request to arrays: the split of a plan holds for the rows that training sees, for every task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.learning.prepared import Prepared, prepare
from tests.learning.datasets import write_dataset

NUM_ROWS = 200
TYPES = {"x": "real", "when": "datetime", "patient": "identifier", "kind": "category", "y": "real"}


@pytest.fixture
def dataset(tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(3)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    columns = {
        "x": generator.normal(size=NUM_ROWS).tolist(),
        "when": [start + timedelta(days=int(day)) for day in generator.permutation(NUM_ROWS)],
        "patient": [f"p{number}" for number in generator.integers(0, 40, NUM_ROWS)],
        "kind": [["a", "b", "c"][number] for number in generator.integers(0, 3, NUM_ROWS)],
        "y": [None, *generator.normal(size=NUM_ROWS - 1).tolist()],
    }
    return write_dataset(tmp_path / "data.parquet", TYPES, columns) | {"values": columns}


def prepared(dataset: dict[str, Any], target: str, **split: Any) -> tuple[Prepared, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    return prepare({"dataset": dataset, "target": target, "split": split}, told.append), told


@pytest.mark.parametrize("target", ["y", "kind"])
def test_time_and_group_divide_the_rows_of_a_classification_and_of_a_regression(
    dataset: dict[str, Any], target: str
) -> None:
    moments, patients = (np.array(dataset["values"][name]) for name in ("when", "patient"))
    by_time, _ = prepared(dataset, target, method="time", column="when")
    assert moments[by_time.parts.train].max() < moments[by_time.parts.validation].min()
    assert moments[by_time.parts.validation].max() < moments[by_time.parts.test].min()
    by_group, told = prepared(dataset, target, method="group", column="patient")
    held_out = {*patients[by_group.parts.validation], *patients[by_group.parts.test]}
    assert held_out
    assert held_out.isdisjoint(patients[by_group.parts.train])
    assert not [message for message in told if message.get("level") == "warning"]


@pytest.mark.parametrize("target", ["y", "kind"])
@pytest.mark.parametrize("column", [{}, {"column": "patient"}])
def test_over_all_folds_every_usable_row_tests_once(
    dataset: dict[str, Any], target: str, column: dict[str, str]
) -> None:
    tested: list[int] = []
    for fold in range(4):
        ready, _ = prepared(dataset, target, method="folds", folds=4, fold=fold, **column)
        tested += ready.parts.test.tolist()
    assert sorted(tested) == list(range(target == "y", NUM_ROWS))


def test_a_prediction_may_carry_the_split_column_along(dataset: dict[str, Any]) -> None:
    ready, _ = prepared(dataset, "y", method="group", column="kind")
    assert "kind" not in ready.preparation.input_names
    assert "kind" in ready.preparation.known_names


def test_a_share_that_whole_groups_cannot_meet_is_told(dataset: dict[str, Any]) -> None:
    ready, told = prepared(dataset, "y", method="group", column="kind", validation=0.1, test=0.1)
    sizes = ready.parts.to_json()["num_rows"]
    warnings = [message for message in told if message.get("level") == "warning"]
    assert [message["data"] for message in warnings] == [
        {"part": part, "share": 0.1, "num_rows": sizes[part]} for part in ("validation", "test")
    ]
    assert f"The test part has {sizes['test']} of 199 rows" in warnings[1]["message"]


def test_values_that_count_as_missing_for_their_type_are_told(tmp_path: Path) -> None:
    columns = {"x": ["1.5", "2", "x", "y", "3"] * 4, "y": [float(number) for number in range(20)]}
    dataset = write_dataset(tmp_path / "data.parquet", {"x": "category", "y": "real"}, columns)
    preparation = {"columns": {"x": {"type": "real", "wrong_type": "impute"}}}
    told: list[dict[str, Any]] = []
    prepare({"dataset": dataset, "target": "y", "preparation": preparation}, told.append)
    warning = next(message for message in told if message.get("level") == "warning")
    assert warning["data"] == {"column": "x", "code": "wrong-type", "num_rows": 8}
    assert "row 3: expected a number, got 'x'; treated as missing" in warning["message"]
