"""The seed network: one hidden layer, sigmoids, plain gradient descent, against backpropagation by hand.

Shapes: x_BF (100, 10) inputs, y_B (100,) soft targets, a_BH (100, 5) hidden values, p_B (100,) answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.learning import specs, train
from app.learning.layout import Layout
from app.learning.loop import Training
from app.learning.plan import plan
from app.learning.prepared import prepare
from tests.learning.datasets import write_dataset

PARAMS = {"hidden": [5], "activation": "sigmoid", "optimizer": "gd", "learning_rate": 0.01, "epochs": 1000}
NUM_ROWS, NUM_INPUTS, SEED = 100, 10, 3


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


class HandWritten:
    """Two layers in numpy float64; J is the mean cross-entropy between p_B and the soft y_B."""

    def __init__(self, w1_HF: np.ndarray, b1_H: np.ndarray, w2_H: np.ndarray, b2: float) -> None:
        self.w1_HF, self.b1_H, self.w2_H, self.b2 = w1_HF, b1_H, w2_H, b2

    def step(self, x_BF: np.ndarray, y_B: np.ndarray, rate: float) -> float:
        """Take one step W <- W - rate * dJ/dW and return J before it."""
        a_BH = sigmoid(x_BF @ self.w1_HF.T + self.b1_H)
        p_B = sigmoid(a_BH @ self.w2_H + self.b2)
        loss = -np.mean(y_B * np.log(p_B) + (1 - y_B) * np.log(1 - p_B))
        out_B = (p_B - y_B) / len(y_B)
        hidden_BH = np.outer(out_B, self.w2_H) * a_BH * (1 - a_BH)
        self.w2_H = self.w2_H - rate * (a_BH.T @ out_B)
        self.b2 = self.b2 - rate * out_B.sum()
        self.w1_HF = self.w1_HF - rate * (hidden_BH.T @ x_BF)
        self.b1_H = self.b1_H - rate * hidden_BH.sum(axis=0)
        return float(loss)


@pytest.fixture
def request_body(tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    x_BF = generator.normal(size=(NUM_ROWS, NUM_INPUTS))
    names = [f"x{index}" for index in range(NUM_INPUTS)]
    columns = {name: x_BF[:, index].tolist() for index, name in enumerate(names)}
    columns["y"] = generator.uniform(size=NUM_ROWS).tolist()
    dataset = write_dataset(tmp_path / "random.parquet", dict.fromkeys([*names, "y"], "real"), columns)
    return {
        "dataset": dataset, "target": "y", "task": "soft", "spec": "dense", "params": PARAMS, "seed": SEED,
        "preparation": {"numeric": {"scaling": "none"}}, "split": {"validation": 0, "test": 0},
    }  # fmt: skip


def hand_written() -> HandWritten:
    """Return the numpy network that starts from the weights the spec draws for this seed."""
    spec = specs.get("dense")
    torch.manual_seed(SEED)
    network = spec.build(Layout(NUM_INPUTS), 1, spec.params.model_validate(PARAMS), torch.float32)
    w1, b1, w2, b2 = (parameter.detach().double().numpy() for parameter in network.parameters())
    return HandWritten(w1, b1, w2[0], float(b2[0]))


def test_the_loss_curve_of_a_job_is_that_of_gradient_descent_by_hand(
    request_body: dict[str, Any], tmp_path: Path
) -> None:
    messages: list[dict[str, Any]] = []
    train.run(request_body, folder=tmp_path, emit=messages.append, control=lambda: None)
    curve = [message["values"]["train_loss"] for message in messages if message["type"] == "metrics"]
    rows = prepare(request_body, lambda message: None).rows["train"]
    by_hand = hand_written()
    expected = [by_hand.step(rows.x_BF.astype(float), rows.values_B, 0.01) for _ in range(1000)]
    assert messages[-1]["type"] == "result"
    assert curve[0] - curve[-1] > 0.01
    # float32 rounds J, about 0.7, to 6e-8; over 1000 steps the two drift apart by less than ten times that.
    np.testing.assert_allclose(curve, expected, rtol=0, atol=1e-6)


def test_every_weight_follows_gradient_descent_by_hand_step_for_step(request_body: dict[str, Any]) -> None:
    training: Training = train.make_training(prepare(request_body, lambda message: None))
    rows = prepare(request_body, lambda message: None).rows["train"]
    by_hand = hand_written()

    def compare(now: Training) -> None:
        by_hand.step(rows.x_BF.astype(float), rows.values_B, 0.01)
        w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in now.network.parameters())
        np.testing.assert_allclose(w1, by_hand.w1_HF, rtol=0, atol=1e-5)
        np.testing.assert_allclose(b1, by_hand.b1_H, rtol=0, atol=1e-5)
        np.testing.assert_allclose(w2[0], by_hand.w2_H, rtol=0, atol=1e-5)
        np.testing.assert_allclose(b2[0], by_hand.b2, rtol=0, atol=1e-5)

    assert training.run(lambda now: None, compare) == "epochs"
    assert training.step == 1000


def test_shares_in_the_target_are_learned_as_soft_targets_without_being_asked(request_body: dict[str, Any]) -> None:
    columns = request_body["dataset"]["columns"]
    planned = plan(columns, "y", num_rows=NUM_ROWS, params=PARAMS)
    assert planned["task"] == "soft"
    assert planned["params"]["batch_size"] is None
    assert planned["params"]["early_stopping"] is None
    assert planned["params"]["schedule"] == "constant"
