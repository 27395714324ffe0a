"""Evaluations on request as their child computes them: other classes, other types, rows that must be left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.learning import evaluating
from tests.learning.datasets import write_dataset
from tests.learning.test_train import of_type, run

TYPES = {"x": "real", "c": "category", "y": "category"}
Result = dict[str, Any]


def columns(labels: Sequence[str], num_rows: int, seed: int) -> dict[str, list[Any]]:
    generator = np.random.default_rng(seed)
    class_B = generator.integers(len(labels), size=num_rows)
    x_B = class_B + 0.5 * generator.normal(size=num_rows)
    return {"x": x_B.tolist(), "c": ["u", "v"] * (num_rows // 2), "y": [labels[k] for k in class_B]}


def learn(tmp_path: Path, name: str, labels: Sequence[str], **request: Any) -> tuple[dict[str, Any], Result]:
    """A data set, and what a training on it ended in."""
    folder = tmp_path / name
    folder.mkdir()
    dataset = write_dataset(folder / "d.parquet", TYPES, columns(labels, 240, len(labels))) | {"id": name}
    return dataset, run(dataset, spec="linear", params={"epochs": 20}, **request)[-1]


def version(result: Result, name: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "reference": f"{name}@1", "manifest": json.loads(json.dumps(result["manifest"])),
        "graph": result["files"]["graph"]["path"], "plan": plan,
    }  # fmt: skip


def evaluate(tmp_path: Path, dataset: dict[str, Any], versions: list[dict[str, Any]], **request: Any) -> Any:
    """What the child said, and the document that it wrote, if any."""
    messages: list[dict[str, Any]] = []
    body = {"part": "all", "slices": None, "seed": 0, "target": "y", "task": "multiclass", **request}
    control = body.pop("control", lambda: None)
    evaluating.run(
        {**body, "dataset": dataset, "versions": versions}, folder=tmp_path, emit=messages.append, control=control
    )
    written = tmp_path / "evaluation.json"
    return messages, json.loads(written.read_text()) if written.exists() else None


def test_versions_that_know_other_classes_are_compared_over_all_of_them(tmp_path: Path) -> None:
    _, first = learn(tmp_path, "later", ["b", "c", "d"])
    _, second = learn(tmp_path, "four", ["a", "b", "c", "e"])
    dataset = write_dataset(tmp_path / "new.parquet", TYPES, columns(["b", "c"], 120, 7)) | {"id": "new"}
    pair = [version(first, "later"), version(second, "four")]
    messages, document = evaluate(tmp_path, dataset, pair)
    assert messages[-1]["type"] == "result"
    found = document["comparison"]["differences"]["log_loss"]
    assert found["first"] == pytest.approx(document["metrics"]["log_loss"], abs=1e-5)
    _, alone = evaluate(tmp_path, dataset, pair[1:])
    assert found["second"] == pytest.approx(alone["metrics"]["log_loss"], abs=1e-5)


def test_a_class_that_one_version_does_not_know_is_left_out_and_counted(tmp_path: Path) -> None:
    _, first = learn(tmp_path, "three", ["a", "b", "c"])
    labels = ["a", "b", "d"]
    values = columns(labels, 120, 7)
    dataset = write_dataset(tmp_path / "new.parquet", TYPES, values) | {"id": "new"}
    messages, document = evaluate(tmp_path, dataset, [version(first, "three")])
    unknown = values["y"].count("d")
    assert document["num_rows"] == 120 - unknown
    assert of_type(messages, "event")[0]["data"] == {"num_rows": unknown}


def test_types_that_can_be_read_are_and_others_name_their_row(tmp_path: Path) -> None:
    _, first = learn(tmp_path, "three", ["a", "b", "c"])
    values = columns(["a", "b", "c"], 60, 3)
    texts = values | {"x": [str(x) for x in values["x"]]}
    as_text = write_dataset(tmp_path / "text.parquet", TYPES | {"x": "text"}, texts) | {"id": "text"}
    as_real = write_dataset(tmp_path / "real.parquet", TYPES, values) | {"id": "real"}
    documents = [evaluate(tmp_path, each, [version(first, "three")])[1] for each in (as_text, as_real)]
    assert documents[0]["metrics"] == pytest.approx(documents[1]["metrics"])
    texts["x"][4] = "wide"
    broken = write_dataset(tmp_path / "broken.parquet", TYPES | {"x": "text"}, texts) | {"id": "broken"}
    error = evaluate(tmp_path, broken, [version(first, "three")])[0][-1]
    assert error["type"] == "error"
    assert "Row 5, column 'x'" in error["message"]


def test_rows_that_a_version_knows_are_told_apart_and_spoil_the_coverage(tmp_path: Path) -> None:
    dataset, first = learn(tmp_path, "three", ["a", "b", "c"])
    plan = {"target": "y", "spec": "linear", "params": {"epochs": 20}}
    sizes = first["manifest"]["split"]["num_rows"]
    for part, known in (("test", (0, 0)), ("train", (sizes["train"], 0)), ("validation", (0, sizes["validation"]))):
        document = evaluate(tmp_path, dataset, [version(first, "three", plan)], part=part)[1]
        assert document["overlap"] == {"three@1": dict(zip(("train", "validation"), known, strict=True))}
        assert bool(document["warnings"]) == any(known)
        assert bool(document["coverage"]) == (part == "test")


def test_a_part_without_two_rows_that_can_be_measured_is_an_error(tmp_path: Path) -> None:
    _, first = learn(tmp_path, "three", ["a", "b", "c"])
    values = columns(["a", "b", "c"], 4, 3) | {"y": ["a", None, "z", None]}
    dataset = write_dataset(tmp_path / "new.parquet", TYPES, values) | {"id": "new"}
    error = evaluate(tmp_path, dataset, [version(first, "three")])[0][-1]
    assert (error["type"], error["code"], error["pointer"]) == ("error", "too-few-rows", "/part")


@pytest.mark.parametrize(("word", "reason"), [("cancel", "cancelled"), ("pause", "paused")])
def test_an_evaluation_stops_when_it_is_asked_to(word: str, reason: str, tmp_path: Path) -> None:
    dataset, first = learn(tmp_path, "three", ["a", "b", "c"])
    messages, document = evaluate(tmp_path, dataset, [version(first, "three")], control=lambda: word)
    assert messages[-1] == {"type": "stopped", "reason": reason}
    assert document is None
