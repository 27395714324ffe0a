"""Predictions from a manifest and a graph: answers, warnings, pointers of refusals, several threads."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.learning import train
from app.learning.errors import InputError
from app.learning.runtime import Predictor
from app.learning.values import Matrix
from tests.learning.datasets import penguins, to_row, write_dataset

ROW = {
    "island": "Biscoe", "bill_length_mm": 47.5, "bill_depth_mm": 14.2, "flipper_length_mm": 209,
    "body_mass_g": 4600, "sex": "female", "year": 2008,
}  # fmt: skip


def train_and_load(
    folder: Path, target: str, types: dict[str, str], columns: dict[str, Any], **request: Any
) -> tuple[Predictor, dict[str, Any]]:
    dataset = write_dataset(folder / "data.parquet", types, columns)
    messages: list[dict[str, Any]] = []
    body = {"dataset": dataset, "target": target, **request}
    train.run(body, folder=folder, emit=messages.append, control=lambda: None)
    result = messages[-1]
    manifest = json.loads(json.dumps(result["manifest"], allow_nan=False))
    return Predictor.load(manifest, Path(result["files"]["graph"]["path"]).read_bytes()), result


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    types, columns = penguins()
    types = {name: kind for name, kind in types.items() if name != "part"}
    return train_and_load(tmp_path_factory.mktemp("penguins"), "species", types, dict(columns))[0]


def test_a_row_is_answered_with_label_and_probabilities(predictor: Predictor) -> None:
    answer = predictor.predict_rows([ROW])[0]
    assert answer["label"] == "Gentoo"
    assert list(answer["probabilities"]) == ["Adelie", "Chinstrap", "Gentoo"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0, abs=1e-6)
    assert answer["warnings"] == []


def test_a_matrix_in_any_column_order_is_answered_like_rows(predictor: Predictor) -> None:
    names = sorted(ROW, reverse=True)
    expected = predictor.predict_rows([ROW])
    assert predictor.predict_matrix(names, [[ROW[name] for name in names]]) == expected
    order = predictor.preparation.input_names
    assert predictor.predict_matrix(None, [[ROW[name] for name in order]]) == expected


def test_absent_null_and_unseen_values_are_answered_with_warnings(predictor: Predictor) -> None:
    row = {name: value for name, value in ROW.items() if name != "sex"}
    row |= {"bill_length_mm": None, "island": "Atlantis", "flipper_length_mm": 999, "colour": "black"}
    warnings = predictor.predict_rows([ROW, row])[1]["warnings"]
    assert {warning["column"]: warning["code"] for warning in warnings} == {
        "bill_length_mm": "imputed", "sex": "imputed", "island": "unseen-category",
        "flipper_length_mm": "out-of-range", "colour": "extra-column",
    }  # fmt: skip


def test_the_target_itself_is_silently_ignored(predictor: Predictor) -> None:
    assert predictor.predict_rows([ROW | {"species": "Adelie"}]) == predictor.predict_rows([ROW])


@pytest.mark.parametrize(
    ("rows", "pointers"),
    [
        ([ROW, ROW | {"bill_length_mm": "long"}], ["/rows/1/bill_length_mm"]),
        ([ROW | {"year": math.inf}, ROW | {"year": [1]}], ["/rows/0/year", "/rows/1/year"]),
        ([ROW | {"body_mass_g": 1e300}], ["/rows/0/body_mass_g"]),
        ([ROW | {"body_mass_g": 2e41}], ["/rows/0"]),
        ([ROW, {}], ["/rows/1"]),
        ([{"colour": "black"}], ["/rows/0"]),
        ([dict.fromkeys(ROW)], ["/rows/0"]),
        ([ROW, [1]], ["/rows/1"]),
        ([7], ["/rows/0"]),
    ],
)
def test_rows_that_cannot_be_answered_are_pointed_at(
    predictor: Predictor, rows: list[Any], pointers: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        predictor.predict_rows(rows)
    assert [error["pointer"] for error in caught.value.errors] == pointers


@pytest.mark.parametrize(
    ("columns", "data", "pointer"),
    [
        (["year", "bill_length_mm"], [[2008, 1], [2008, "x"]], "/data/1/1"),
        (["year", "year"], [[1, 2]], "/columns/1"),
        ([1], [[1]], "/columns/0"),
        (["year"], [[1, 2]], "/data/0"),
        (["year"], [7], "/data/0"),
        (None, [[1, 2]], "/data/0"),
        (["year"], [[None]], "/data/0"),
    ],
)
def test_a_matrix_that_cannot_be_answered_is_pointed_at(
    predictor: Predictor, columns: Any, data: Any, pointer: str
) -> None:
    with pytest.raises(InputError) as caught:
        predictor.predict_matrix(columns, data)
    assert caught.value.errors[0]["pointer"] == pointer


def test_no_rows_have_no_answers(predictor: Predictor) -> None:
    assert predictor.predict_rows([]) == []
    assert predictor.predict_matrix(None, []) == []


def test_numbers_are_answered_alike_from_one_array_and_from_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    columns = {name: rng.normal(size=80).round(3).tolist() for name in names}
    columns["y"] = ["low" if value < 0 else "high" for value in columns["b"]]
    types = dict.fromkeys(names, "real") | {"y": "category"}
    numbers, _ = train_and_load(tmp_path, "y", types, columns, spec="dense", params={"epochs": 2})
    values = rng.normal(size=(40, 3)).astype(np.float32)
    values[3, 1], values[5, 2] = 50.0, np.nan
    for part in (values, values[:4], values[8:], (10 * values[8:]).astype(np.int64)):
        apart = {name: part[:, place] for place, name in enumerate(names)}
        expected, warned = numbers.answer_columns(apart, len(part), _pointer)
        answer, noted = numbers.answer_columns(Matrix(names, part), len(part), _pointer)
        assert answer.tobytes() == expected.tobytes()
        assert noted == warned
    values[7, 0] = np.inf
    with pytest.raises(InputError) as refused:
        numbers.answer_columns(Matrix(names, values), len(values), _pointer)
    assert [problem["pointer"] for problem in refused.value.errors] == ["7 a"]


def _pointer(row: int, column: str | None) -> str:
    return f"{row} {column}"


def test_a_batch_is_answered_like_its_rows_one_by_one(predictor: Predictor) -> None:
    types, columns = penguins()
    rows = [to_row(types, columns, row) for row in range(0, 344, 7)]
    together = predictor.predict_rows(rows)
    for row, answer in zip(rows, together, strict=True):
        alone = predictor.predict_rows([row])[0]
        assert alone["label"] == answer["label"]
        assert alone["warnings"] == answer["warnings"]
        assert alone["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-6)


def test_several_threads_get_the_answers_of_one(predictor: Predictor) -> None:
    expected = predictor.predict_rows([ROW])
    with ThreadPoolExecutor(4) as pool:
        assert all(answer == expected for answer in pool.map(lambda _: predictor.predict_rows([ROW]), range(200)))


def test_the_size_is_at_least_that_of_the_graph(predictor: Predictor) -> None:
    assert 100_000 < predictor.size_bytes < 2_000_000


@pytest.mark.parametrize(
    ("kind", "labels"), [("boolean", [False, True]), ("integer", [3, 5]), ("category", ["no", "yes"])]
)
def test_a_label_is_a_json_value_of_the_targets_type(kind: str, labels: list[Any], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=200)
    columns = {"x": x.tolist(), "y": [labels[int(value > 0)] for value in x]}
    model, _ = train_and_load(tmp_path, "y", {"x": "real", "y": kind}, columns, params={"epochs": 20})
    answers = model.predict_rows([{"x": -2.0}, {"x": 2.0}])
    assert [answer["label"] for answer in answers] == labels
    assert [type(answer["label"]) for answer in answers] == [type(label) for label in labels]
    assert list(answers[0]["probabilities"]) == [json.dumps(label).strip('"') for label in labels]


def test_a_regression_answers_in_the_targets_own_units(tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 300)
    columns = {"x": x.tolist(), "y": (1e6 + 5e4 * x).tolist()}
    model, result = train_and_load(tmp_path, "y", {"x": "real", "y": "real"}, columns, spec="linear")
    assert model.predict_rows([{"x": 0.5}])[0]["value"] == pytest.approx(1_025_000, abs=1000)
    assert result["metrics"]["test"]["r2"] > 0.99


def test_shares_are_answered_as_shares(tmp_path: Path) -> None:
    x = np.linspace(-3, 3, 300)
    columns = {"x": x.tolist(), "y": (1 / (1 + np.exp(-x))).tolist()}
    model, _ = train_and_load(tmp_path, "y", {"x": "real", "y": "real"}, columns)
    values = [answer["value"] for answer in model.predict_rows([{"x": -100.0}, {"x": 0.0}, {"x": 100.0}])]
    assert 0 <= values[0] < 0.1
    assert values[1] == pytest.approx(0.5, abs=0.05)
    assert 0.9 < values[2] <= 1


@pytest.mark.parametrize(("policy", "codes"), [("flag", ["extra-column"]), ("ignore", []), ("reject", None)])
def test_an_extra_column_is_treated_as_asked(policy: str, codes: list[str] | None, tmp_path: Path) -> None:
    columns = {"x": list(range(40)), "y": ["a", "b"] * 20}
    model, _ = train_and_load(
        tmp_path, "y", {"x": "integer", "y": "category"}, columns,
        spec="linear", params={"epochs": 1}, preparation={"extra_columns": policy},
    )  # fmt: skip
    if codes is None:
        with pytest.raises(InputError, match="/rows/0/zz"):
            model.predict_rows([{"x": 1, "zz": 2}])
        with pytest.raises(InputError, match="/data/0/1"):
            model.predict_matrix(["x", "zz"], [[1, 2]])
    else:
        assert [warning["code"] for warning in model.predict_rows([{"x": 1, "zz": 2}])[0]["warnings"]] == codes
