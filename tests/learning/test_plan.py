"""Planning: what is inferred, what is refused and where the refusal points; no torch, no allocation."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from app.learning.errors import LearningError
from app.learning.plan import plan

COLUMNS: list[dict[str, Any]] = [
    {"name": "length", "type": "real", "num_missing": 2, "num_distinct": 90, "min": 1.0, "max": 9.0},
    {"name": "island", "type": "category", "num_missing": 0, "num_distinct": 3},
    {"name": "note", "type": "text", "num_missing": 0, "num_distinct": 100},
    {"name": "species", "type": "category", "num_missing": 0, "num_distinct": 3},
    {"name": "sex", "type": "category", "num_missing": 5, "num_distinct": 2},
    {"name": "alive", "type": "boolean", "num_missing": 0, "num_distinct": 2},
    {"name": "rating", "type": "integer", "num_missing": 0, "num_distinct": 5, "min": 1, "max": 5},
    {"name": "mass", "type": "integer", "num_missing": 0, "num_distinct": 80, "min": 2700, "max": 6300},
    {"name": "share", "type": "real", "num_missing": 0, "num_distinct": 99, "min": 0.01, "max": 0.99},
    {"name": "constant", "type": "category", "num_missing": 0, "num_distinct": 1},
    {"name": "when", "type": "datetime", "num_missing": 0, "num_distinct": 100},
    {"name": "many", "type": "category", "num_missing": 0, "num_distinct": 5000},
]


def planned(target: str = "species", num_rows: int = 100, **request: Any) -> dict[str, Any]:
    return plan(COLUMNS, target, num_rows=num_rows, **request)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ("species", "multiclass"), ("sex", "binary"), ("alive", "binary"), ("rating", "multiclass"),
        ("mass", "regression"), ("length", "regression"), ("share", "soft"),
    ],
)  # fmt: skip
def test_the_task_follows_from_the_target(target: str, task: str) -> None:
    assert planned(target)["task"] == task


def test_few_rows_make_an_integer_a_number_and_not_a_class() -> None:
    assert planned("rating", num_rows=20)["task"] == "regression"


def test_a_plan_is_json_and_planning_it_again_changes_nothing() -> None:
    request = {"params": {"optimizer": "sgd"}, "preparation": {"columns": {"length": {"scaling": "robust"}}}}
    first = planned(**request)
    again = {name: first[name] for name in ("spec", "task", "params", "preparation", "split", "seed")}
    assert planned(**json.loads(json.dumps(again, allow_nan=False))) == first


@pytest.mark.parametrize(
    "split",
    [
        {"method": "time", "column": "when"},
        {"method": "time", "column": "length"},
        {"method": "group", "column": "island"},
        {"method": "group", "column": "mass"},
        {"method": "folds", "folds": 7, "fold": 6},
        {"method": "folds", "folds": 3, "fold": 0, "column": "island"},
    ],
)
def test_a_split_is_planned_with_its_shares_and_its_column_is_no_input(split: dict[str, Any]) -> None:
    first = planned(split=split)
    assert first["split"].items() >= split.items()
    assert first["split"]["test"] == (1 / split["folds"] if "folds" in split else 0.15)
    assert split.get("column") not in [item["name"] for item in first["inputs"]]
    again = {name: first[name] for name in ("spec", "task", "params", "preparation", "split", "seed")}
    assert planned(**json.loads(json.dumps(again))) == first


def test_every_input_is_listed_with_its_policy_or_why_it_is_none() -> None:
    inputs = {item["name"]: item for item in planned()["inputs"]}
    assert inputs["length"]["policy"]["missing"] == "median"
    assert inputs["island"]["role"] == "category"
    assert "text" in inputs["note"]["reason"]
    assert "species" not in inputs


@pytest.mark.parametrize(
    ("request_body", "pointer"),
    [
        ({"target": "nothing"}, "/target"),
        ({"target": "constant"}, "/target"),
        ({"target": "note"}, "/target"),
        ({"target": "many"}, "/target"),
        ({"spec": "os.system"}, "/spec"),
        ({"task": "divination"}, "/task"),
        ({"task": "binary"}, "/task"),
        ({"task": "regression"}, "/task"),
        ({"target": "mass", "task": "soft"}, "/task"),
        ({"target": "length", "task": "multiclass"}, "/task"),
        ({"seed": -1}, "/seed"),
        ({"seed": 2**63}, "/seed"),
        ({"seed": True}, "/seed"),
        ({"num_rows": 1}, "/dataset"),
        ({"params": {"hidden": [0]}}, "/params/hidden/0"),
        ({"params": {"hidden": [8, "x"]}}, "/params/hidden/1"),
        ({"params": {"hidden": [10**9]}}, "/params/hidden/0"),
        ({"params": {"hidden": [65_536, 65_536]}}, "/params/hidden"),
        ({"params": {"hidden": [8] * 65}}, "/params/hidden"),
        ({"params": {"learning_rate": float("nan")}}, "/params/learning_rate"),
        ({"params": {"learning_rate": "0.1"}}, "/params/learning_rate"),
        ({"params": {"batch_size": 0}}, "/params/batch_size"),
        ({"params": {"batch_size": 2, "normalization": "batch"}}, "/params/batch_size"),
        ({"params": {"early_stopping": {"patience": 0}}}, "/params/early_stopping/patience"),
        ({"params": {"lr": 0.1}}, "/params/lr"),
        ({"params": {"a/b~c": 1}}, "/params/a~1b~0c"),
        ({"params": {"loss": "mse"}}, "/params/loss"),
        ({"params": {"optimizer": "gd", "momentum": 0.9}}, "/params/momentum"),
        ({"params": {"optimizer": "gd", "batch_size": 10}}, "/params/batch_size"),
        ({"params": {"optimizer": "gd", "weight_decay": 0.1}}, "/params/weight_decay"),
        ({"params": {"optimizer": "gd", "schedule": "cosine"}}, "/params/schedule"),
        ({"params": {"optimizer": "adam", "momentum": 0.5}}, "/params/momentum"),
        ({"params": []}, "/params"),
        ({"target": "mass", "params": {"class_weights": "balanced"}}, "/params/class_weights"),
        ({"target": "mass", "params": {"label_smoothing": 0.1}}, "/params/label_smoothing"),
        ({"preparation": {"columns": {"nothing": {}}}}, "/preparation/columns/nothing"),
        ({"preparation": {"columns": {"species": {}}}}, "/preparation/columns/species"),
        ({"preparation": {"columns": {"length": {"encoding": "ordinal"}}}}, "/preparation/columns/length/encoding"),
        ({"preparation": {"columns": {"length": {"type": "boolean"}}}}, "/preparation/columns/length/type"),
        ({"preparation": {"columns": {"length": {"missing": "category"}}}}, "/preparation/columns/length/missing"),
        ({"preparation": {"columns": {"length": {"missing": "constant"}}}}, "/preparation/columns/length"),
        ({"preparation": {"numeric": {"scaling": "magic"}}}, "/preparation/numeric/scaling"),
        ({"split": {"validation": 0.9, "test": 0.9}}, "/split"),
        ({"split": {"method": "column"}}, "/split/column"),
        ({"split": {"method": "column", "column": "nothing"}}, "/split/column"),
        ({"split": {"method": "column", "column": "mass"}}, "/split/column"),
        ({"split": {"method": "column", "column": "species"}}, "/split/column"),
        ({"split": {"column": "island"}}, "/split/column"),
        ({"split": {"method": "random", "column": "island"}}, "/split/column"),
        ({"split": {"method": "time"}}, "/split/column"),
        ({"split": {"method": "time", "column": "island"}}, "/split/column"),
        ({"split": {"method": "time", "column": "alive"}}, "/split/column"),
        ({"split": {"method": "group"}}, "/split/column"),
        ({"split": {"method": "group", "column": "species"}}, "/split/column"),
        ({"split": {"method": "group", "column": "constant"}}, "/split/column"),
        ({"split": {"method": "folds"}}, "/split/folds"),
        ({"split": {"method": "folds", "folds": 5}}, "/split/fold"),
        ({"split": {"method": "folds", "folds": 5, "fold": 5}}, "/split/fold"),
        ({"split": {"method": "folds", "folds": 1, "fold": 0}}, "/split/folds"),
        ({"split": {"method": "folds", "folds": 101, "fold": 0}}, "/split/folds"),
        ({"split": {"method": "folds", "folds": 5, "fold": 0, "test": 0.1}}, "/split/test"),
        ({"split": {"method": "folds", "folds": 5, "fold": 0, "column": "island"}}, "/split/folds"),
        ({"split": {"method": "folds", "folds": 2, "fold": 0, "validation": 0.5}}, "/split"),
        ({"split": {"folds": 5}}, "/split/folds"),
        ({"split": {"method": "random", "fold": 0}}, "/split/fold"),
        (
            {"split": {"method": "time", "column": "when"}, "preparation": {"columns": {"when": {}}}},
            "/preparation/columns/when",
        ),
        ({"target": "mass", "split": {"method": "stratified"}}, "/split/method"),
    ],
)
def test_a_refusal_points_at_what_is_wrong(request_body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(LearningError) as caught:
        planned(**request_body)
    assert caught.value.pointer == pointer
    assert caught.value.errors[0]["pointer"] == pointer
    assert str(caught.value)


def test_all_invalid_parameters_are_listed_at_once() -> None:
    with pytest.raises(LearningError) as caught:
        planned(params={"hidden": [0, 5, -1], "epochs": "many", "nonsense": 1})
    pointers = [error["pointer"] for error in caught.value.errors]
    assert pointers == ["/params/epochs", "/params/hidden/0", "/params/hidden/2", "/params/nonsense"]


def test_when_every_column_is_left_out_there_is_nothing_to_learn() -> None:
    unused = {column["name"]: {"use": False} for column in COLUMNS if column["name"] != "species"}
    with pytest.raises(LearningError) as caught:
        planned(preparation={"columns": unused})
    assert caught.value.code == "no-inputs"


def test_what_the_api_process_imports_brings_no_heavy_library() -> None:
    code = (
        "import sys, app.learning.spec, app.learning.specs, app.learning.preprocess, app.learning.data\n"
        "import app.learning.runtime, app.learning.plan, app.learning.metrics\n"
        "heavy = {'torch', 'pyarrow', 'onnx', 'onnxruntime', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
