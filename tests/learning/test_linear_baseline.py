"""The linear baseline is scikit-learn's, on the same prepared rows, and never in the way of the model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.learning import train
from app.learning.evaluation import linear
from app.learning.evaluation.linear import fit_linear
from app.learning.layout import Block, Layout
from app.learning.learned import outputs
from app.learning.networks import spread as spread_out
from app.learning.networks.spread import Spread
from app.learning.prepared import Prepared, prepare
from tests.learning.datasets import write_dataset
from tests.learning.test_train import of_type, run


def prepared(tmp_path: Path, task: str, num_rows: int = 300) -> Prepared:
    generator = np.random.default_rng(0)
    x_BN = generator.normal(size=(num_rows, 3)) * [1, 5, 0.2] + [0, 10, -3]
    score_B = x_BN @ [1.0, -0.3, 2.0] + generator.normal(size=num_rows)
    y_B: Any = (score_B + 10).tolist()
    if task != "regression":
        y_B = [["low", "middle", "high"][int(part)] for part in np.digitize(score_B, np.quantile(score_B, [0.4, 0.7]))]
        y_B = y_B if task == "multiclass" else ["high" if each == "high" else "low" for each in y_B]
    columns = {"a": x_BN[:, 0].tolist(), "b": x_BN[:, 1].tolist(), "c": x_BN[:, 2].tolist(), "y": y_B}
    types = {"a": "real", "b": "real", "c": "real", "y": "real" if task == "regression" else "category"}
    dataset = write_dataset(tmp_path / "d.parquet", types, columns)
    return prepare({"dataset": dataset, "target": "y", "split": {"validation": 0, "test": 0.3}}, lambda message: None)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_are_answered_as_by_scikit_learns_logistic_regression(task: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, task)
    found = fit_linear(data, lambda: False)
    assert found is not None
    train_rows, test_rows = data.rows["train"], data.rows["test"]
    peer = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000))
    peer.fit(train_rows.x_BF, train_rows.learned_B)
    answers = outputs(found.answer, torch.from_numpy(test_rows.x_BF))
    np.testing.assert_allclose(answers, peer.predict_proba(test_rows.x_BF), atol=2e-3)
    assert found.converged


def test_values_are_answered_as_by_scikit_learns_ridge_regression(tmp_path: Path) -> None:
    data = prepared(tmp_path, "regression")
    found = fit_linear(data, lambda: False)
    assert found is not None
    train_rows, test_rows = data.rows["train"], data.rows["test"]
    peer = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(train_rows.x_BF, train_rows.learned_B)
    answers = outputs(found.answer, torch.from_numpy(test_rows.x_BF))[:, 0]
    np.testing.assert_allclose(answers, peer.predict(test_rows.x_BF), atol=2e-3)


def test_the_same_rows_give_the_same_bits(tmp_path: Path) -> None:
    data = prepared(tmp_path, "multiclass")
    first, second = (fit_linear(data, lambda: False) for _ in range(2))
    assert first is not None
    assert second is not None
    for one, other in zip(first.answer.parameters(), second.answer.parameters(), strict=True):
        assert torch.equal(one, other)


def test_slots_become_inputs_of_their_own_the_most_frequent_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_out, "MOST_SLOTS", 2)
    layout = Layout(1, 0, (Block("index", 3), Block("levels", 5)))
    x_BF = torch.tensor([[1.0, 3.0, 1.0], [3.0, 1.0, 2.0], [5.0, 1.0, 3.0], [7.0, 2.0, 4.0], [9.0, 3.0, 5.0]])
    spread = Spread.fit(layout, x_BF)
    assert spread.width == 3
    assert spread(x_BF)[:, 1:].tolist() == [[0, 1], [1, 0], [1, 0], [0, 0], [0, 1]]
    assert spread(x_BF)[:, 0].tolist() == pytest.approx(
        [-math.sqrt(2), -math.sqrt(0.5), 0, math.sqrt(0.5), math.sqrt(2)]
    )


def test_of_many_rows_an_even_selection_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepared(tmp_path, "binary")
    monkeypatch.setattr(linear, "MOST_CELLS", 3 * 100)
    found = fit_linear(data, lambda: False)
    assert found is not None
    assert found.num_rows == math.ceil(len(data.rows["train"]) / math.ceil(len(data.rows["train"]) / 100))


def test_a_training_reports_it_beside_the_constant(tmp_path: Path) -> None:
    columns = {"x": np.linspace(0, 1, 200).tolist(), "y": (3 * np.linspace(0, 1, 200) + 1).tolist()}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "real"}, columns)
    metrics = run(dataset, params={"epochs": 2})[-1]["metrics"]
    assert set(metrics) == {"train", "validation", "test", "baseline", "linear", "intervals"}
    assert metrics["linear"]["test"]["rmse"] < 0.1 * metrics["baseline"]["test"]["rmse"]


def test_without_time_it_is_left_out_with_a_warning(tmp_path: Path) -> None:
    columns = {"x": np.linspace(0, 1, 60).tolist(), "y": ["a", "b"] * 30}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "category"}, columns)
    messages = run(dataset, wall_seconds=1e-9)
    assert "linear" not in messages[-1]["metrics"]
    assert any(message["data"].get("baseline") == "linear" for message in of_type(messages, "event"))


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_without_memory_it_is_left_out_with_a_warning(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise failure

    monkeypatch.setattr(train, "fit_linear", refuse)
    columns = {"x": np.linspace(0, 1, 60).tolist(), "y": ["a", "b"] * 30}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "category"}, columns)
    messages = run(dataset, params={"epochs": 1})
    assert messages[-1]["type"] == "result"
    assert any("memory" in message["message"] for message in of_type(messages, "event"))
