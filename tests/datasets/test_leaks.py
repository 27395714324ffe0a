"""A column that is the target in disguise is found; a good feature, an identifier or chance is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.conftest import PENGUINS
from tests.datasets.stored import ask, entries

RANDOM = np.random.default_rng(7)
NUM_ROWS = 2_000
PRICES = np.exp(RANDOM.normal(10, 1.5, NUM_ROWS))
KINDS = {pa.float64(): "real", pa.int64(): "integer", pa.string(): "category", pa.bool_(): "boolean"}


def leaks(columns: dict[str, Any], types: dict[str, str] | None = None, target: str = "target") -> dict[str, Any]:
    data = pa.table(columns)
    kinds = {field.name: (types or {}).get(field.name, KINDS[field.type]) for field in data.schema}
    answer: dict[str, Any] = ask("leaks", {"columns": entries(kinds), "target": target}, stored=data)
    json.dumps(answer, allow_nan=False)
    return answer


def named(answer: dict[str, Any]) -> list[str]:
    return [warning["column"] for warning in answer["warnings"]]


def classes(num_classes: int = 3) -> list[str]:
    return [f"class {i}" for i in RANDOM.integers(0, num_classes, NUM_ROWS)]


@pytest.mark.parametrize("num_classes", [2, 3, 30])
def test_a_copy_of_the_classes_is_found_whatever_it_is_called(num_classes: int) -> None:
    target = classes(num_classes)
    noised = [
        other if i % 500 == 0 else kind
        for i, (kind, other) in enumerate(zip(target, target[1:] + target[:1], strict=True))
    ]
    answer = leaks(
        {
            "target": target,
            "copy": target,
            "renamed": [f"k{kind[6:]}" for kind in target],
            "numbered": [float(kind[6:]) for kind in target],
            "noised": noised,
            "key": [f"row {i}" for i in range(NUM_ROWS)],
            "chance": classes(num_classes),
        }
    )
    assert answer["task"] == "classification"
    assert named(answer) == ["copy", "renamed", "numbered", "noised"]
    assert {warning["code"] for warning in answer["warnings"]} == {"leaks-target"}


def test_a_number_that_the_classes_were_cut_from_is_found() -> None:
    answer = leaks({"target": (PRICES > 30_000).tolist(), "price": PRICES, "n": RANDOM.normal(size=NUM_ROWS)})
    assert named(answer) == ["price"]


@pytest.mark.parametrize(
    ("made", "is_found"),
    [
        (PRICES, True),
        (PRICES * -1.19 + 7, True),
        (np.round(PRICES), True),
        (PRICES * (1 + RANDOM.normal(0, 0.01, NUM_ROWS)), True),
        (np.log(PRICES), True),
        (PRICES * (1 + RANDOM.normal(0, 0.5, NUM_ROWS)), False),
        (RANDOM.normal(size=NUM_ROWS), False),
        (np.arange(NUM_ROWS).astype(float), False),
        (np.zeros(NUM_ROWS), False),
        (np.full(NUM_ROWS, np.nan), False),
        (np.where(np.arange(NUM_ROWS) % 2, PRICES, np.nan), False),
    ],
)
def test_a_number_made_from_the_target_is_found(made: Any, is_found: bool) -> None:
    answer = leaks({"target": PRICES, "made": pa.array(made, from_pandas=True)})
    assert answer["task"] == "regression"
    assert named(answer) == (["made"] if is_found else [])


def test_a_class_that_is_nearly_everywhere_makes_no_leak() -> None:
    rare = [i % 1_000 == 0 for i in range(NUM_ROWS)]
    assert named(leaks({"target": rare, "copy": rare, "chance": classes()})) == []
    uncommon = [i % 150 == 0 for i in range(NUM_ROWS)]
    answer = leaks({"target": uncommon, "copy": uncommon, "chance": classes()})
    assert answer["baseline"] > 0.99
    assert named(answer) == ["copy"]


def test_whole_numbers_with_few_values_are_classes() -> None:
    assert leaks({"target": [i % 20 for i in range(NUM_ROWS)]})["task"] == "classification"
    assert leaks({"target": [i % 21 for i in range(NUM_ROWS)]})["task"] == "regression"


@pytest.mark.parametrize("value", [1.7e308, 5e-324, 0.0])
def test_extreme_numbers_have_a_score(value: float) -> None:
    signs = RANDOM.choice([-1.0, 1.0], NUM_ROWS)
    answer = leaks(
        {"target": value * signs, "cell": value * RANDOM.choice([-1.0, 1.0], NUM_ROWS), "same": value * signs}
    )
    assert named(answer) == (["same"] if value else [])


def test_rows_without_a_target_are_left_out() -> None:
    answer = leaks({"target": ["a", None] * 50, "b": [1.0] * 100})
    assert answer["num_rows"] == 50
    assert leaks({"target": pa.array([None, None], pa.string()), "b": [1.0, 2.0]})["warnings"] == []


def test_real_features_are_no_leaks() -> None:
    data = pyarrow.csv.read_csv(PENGUINS)
    for target in ("species", "body_mass_g"):
        columns = {name: data[name] for name in data.column_names} | {"copy": data[target]}
        assert named(leaks(columns, target=target)) == ["copy"]
