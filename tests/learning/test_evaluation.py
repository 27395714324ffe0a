"""The evaluation that a training leaves behind: true, bounded, in plain JSON, whatever the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from app.learning.evaluation.answered import Answered, softmax
from app.learning.evaluation.curves import charts_of, confusion, pr_points, roc_points
from app.learning.evaluation.document import Columns, Served, describe_answers, encode
from app.learning.evaluation.slices import slices_of
from app.learning.tasks import Head
from tests.learning.datasets import write_dataset
from tests.learning.test_train import run

MOST_BYTES = 1 << 20


def classified(num_rows: int, num_classes: int, seed: int = 0) -> Answered:
    generator = np.random.default_rng(seed)
    p_BK = softmax(2 * generator.normal(size=(num_rows, num_classes)))
    y_B = (p_BK.cumsum(axis=1) > generator.random((num_rows, 1))).argmax(axis=1)
    task: Any = "binary" if num_classes == 2 else "multiclass"
    return Answered(Head(task, tuple(f"class {k}" for k in range(num_classes))), p_BK, y_B.astype(float), y_B)


def areas(points: list[tuple[float, float]]) -> float:
    xs, ys = np.array(points).T
    return float(np.trapezoid(ys, xs))


def test_curves_are_those_of_scikit_learn() -> None:
    answered = classified(150, 2)
    score_B, positive_B = answered.y_BK[:, 1], answered.classes_B == 1
    roc = reference.roc_curve(positive_B, score_B, drop_intermediate=False)
    np.testing.assert_allclose(np.array(roc_points(score_B, positive_B)).T, roc[:2], rtol=1e-5)
    precision, recall, _ = reference.precision_recall_curve(positive_B, score_B)
    # Theirs runs the other way, and ends in a point that no threshold has.
    expected = np.array([recall[:-1][::-1], precision[:-1][::-1]])
    np.testing.assert_allclose(np.array(pr_points(score_B, positive_B)).T, expected, rtol=1e-5)


def test_long_curves_are_thinned_and_keep_their_area() -> None:
    answered = classified(5000, 2)
    score_B, positive_B = answered.y_BK[:, 1], answered.classes_B == 1
    points = roc_points(score_B, positive_B)
    assert len(points) == 200
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (1.0, 1.0)
    assert areas(points) == pytest.approx(reference.roc_auc_score(positive_B, score_B), abs=0.002)


def test_confusion_counts_rows_and_gathers_rare_classes() -> None:
    answered = classified(400, 3)
    expected = reference.confusion_matrix(answered.classes_B, answered.y_BK.argmax(axis=1))
    assert confusion(answered)["values"] == expected.tolist()
    many = confusion(classified(3000, 50))
    assert len(many["row_labels"]) == 20
    assert many["row_labels"][-1] == "other"
    assert np.sum(many["values"]) == 3000


def test_columns_are_sliced_by_value_by_quarter_and_by_what_is_missing() -> None:
    columns = {
        "kind": np.array(["a", "b", None, "a"] * 10, dtype=object),
        "flag": np.array([0.0, 1.0] * 20),
        "size": np.append(np.arange(39.0), np.nan),
        "many": np.array([f"v{n}" for n in range(40)], dtype=object),
    }
    types = {"kind": "category", "flag": "boolean", "size": "real", "many": "text"}
    found = {(each.column, each.label): int(each.mask_B.sum()) for each in slices_of(columns, types)}
    assert found == {
        ("kind", "a"): 20, ("kind", "b"): 10, ("kind", "missing"): 10,
        ("flag", "false"): 20, ("flag", "true"): 20,
        ("size", "0 to 9.5"): 10, ("size", "9.5 to 19"): 9, ("size", "19 to 28.5"): 10, ("size", "28.5 to 38"): 10,
        ("size", "missing"): 1,
    }  # fmt: skip
    asked = list(slices_of({"many": columns["many"]}, types, every=True))
    assert len(asked) == 21
    assert int(asked[-1].mask_B.sum()) == 20


def test_a_slice_that_is_worse_stands_first() -> None:
    answered = classified(200, 2)
    wrong = np.arange(200) % 10 == 0
    y_BK = answered.y_BK.copy()
    y_BK[wrong, answered.classes_B[wrong]] = 0.01
    spoiled = Answered(answered.head, y_BK / y_BK.sum(axis=1, keepdims=True), answered.learned_B, answered.values_B)
    columns = Columns({"where": np.where(wrong, "here", "there").astype(object)}, {"where": "category"})
    described = describe_answers(spoiled, columns, Served(), seed=0, is_new=True)
    assert [each["label"] for each in described["slices"]] == ["here", "there"]
    assert described["slices"][0]["num_rows"] == 20


@pytest.mark.parametrize("num_classes", [2, 300])
def test_the_document_is_bounded(num_classes: int) -> None:
    answered = classified(4000, num_classes)
    generator = np.random.default_rng(0)
    values: dict[str, Any] = {f"number {n}": generator.normal(size=4000) for n in range(100)}
    values |= {
        f"text {n}": generator.choice([f"{'x' * 500}{k}" for k in range(20)], 4000).astype(object) for n in range(5)
    }
    columns = Columns(values, {name: "real" if name.startswith("number") else "category" for name in values})
    assert len(encode(describe_answers(answered, columns, Served(2.0), seed=0, is_new=True))) < MOST_BYTES


@pytest.mark.parametrize("value", [1e300, 0.0, -1e-300])
def test_numbers_beyond_all_measure_are_left_out_and_never_nan(value: float) -> None:
    y_B = np.array([value, 1.0, 2.0, 3.0] * 5)
    answered = Answered(Head("regression", (), 0.0, 1.0), np.full((20, 1), -value), y_B, y_B)
    with np.errstate(over="ignore", invalid="ignore"):
        described = describe_answers(answered, Columns({}, {}), Served(), seed=0, is_new=False)
    json.loads(encode(described), parse_constant=lambda word: pytest.fail(word))


def test_what_is_no_number_is_written_as_null() -> None:
    document = {"a": float("nan"), "b": [1.5, float("inf"), (float("-inf"), "NaN")]}
    assert json.loads(encode(document)) == {"a": None, "b": [1.5, None, [None, "NaN"]]}


def test_calibration_shows_what_the_raw_outputs_said() -> None:
    answered = classified(500, 3)
    names = [series["name"] for series in charts_of(answered, temperature=2.0)["calibration"]["series"]]
    assert names == ["perfect", "answered", "uncalibrated"]
    assert len(charts_of(answered)["calibration"]["series"]) == 2


@pytest.mark.parametrize(
    ("split", "part"),
    [({}, "test"), ({"test": 0}, "validation"), ({"test": 0, "validation": 0}, "train")],
)
def test_a_training_is_measured_on_what_comes_nearest_to_new_rows(
    split: dict[str, Any], part: str, tmp_path: Path
) -> None:
    columns = {"x": np.linspace(0, 1, 200).tolist(), "y": (3 * np.linspace(0, 1, 200) + 1).tolist()}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "real"}, columns)
    result = run(dataset, params={"epochs": 2}, split=split)[-1]
    document = json.loads(Path(result["files"]["evaluation"]["path"]).read_text())
    assert document["part"] == part
    assert document["metrics"] == pytest.approx(result["metrics"][part])
    assert bool(document["coverage"]) == (part == "test")
    assert set(document["charts"]) >= {"predicted", "residuals", "errors", "slices"}


def test_the_answers_that_are_measured_are_those_that_are_served(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x_B = generator.normal(size=400)
    columns = {"x": x_B.tolist(), "y": ["a" if v > 0 else "b" for v in x_B + generator.normal(size=400)]}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "category"}, columns)
    body = {"spec": "linear", "params": {"epochs": 1, "learning_rate": 1e-4}}
    raw, calibrated = (
        run(dataset, **(body | {"params": body["params"] | {"calibrate": on}}))[-1] for on in (False, True)
    )
    assert raw["manifest"]["calibration"] is None
    told = calibrated["manifest"]["calibration"]
    assert told["log_loss_after"] < told["log_loss_before"]
    assert calibrated["metrics"]["validation"]["log_loss"] == pytest.approx(told["log_loss_after"], abs=1e-6)
    assert raw["metrics"]["validation"]["log_loss"] == pytest.approx(told["log_loss_before"], abs=1e-6)
    assert raw["files"]["weights"]["sha256"] == calibrated["files"]["weights"]["sha256"]
