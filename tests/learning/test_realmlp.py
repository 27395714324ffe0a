"""What is special about RealMLP: defaults that follow task and rows, rates of its parts, a bounded regression."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.learning import specs
from app.learning.batches import Data
from app.learning.layout import Block, Layout
from app.learning.loop import Training
from app.learning.losses import make_loss
from app.learning.networks.categories import FlatCategories
from app.learning.plan import plan

COLUMNS = [
    {"name": "x", "type": "real", "num_distinct": 90, "min": 0.0, "max": 1.0},
    {"name": "y", "type": "real", "num_distinct": 90, "min": 0.0, "max": 9.0},
    {"name": "kind", "type": "category", "num_distinct": 2},
]


def planned(target: str, num_rows: int = 100, **params: Any) -> dict[str, Any]:
    resolved: dict[str, Any] = plan(COLUMNS, target, num_rows=num_rows, spec="realmlp", params=params)
    return resolved["params"]


def make_training(num_outputs: int = 1, **params: Any) -> Training:
    spec = specs.get("realmlp")
    layout = Layout(2, 0, (Block("index", 3), Block("index", 12)))
    torch.manual_seed(0)
    network = spec.build(layout, num_outputs, spec.params(**params), torch.float32)
    x_BF = torch.cat([torch.randn(64, 2), torch.randint(0, 4, (64, 1)), torch.randint(0, 13, (64, 1))], dim=1)
    loss = make_loss("mse", "regression")
    data = Data(x_BF, torch.randn(64))
    return Training(network, spec.params(**params), loss, loss, train=data, validation=None, seed=0)


def test_defaults_follow_the_task_and_the_number_of_rows() -> None:
    classes, values = planned("kind"), planned("y")
    assert (classes["learning_rate"], classes["activation"], classes["epochs"]) == (0.04, "selu", 256)
    assert (values["learning_rate"], values["activation"]) == (0.2, "mish")
    assert (classes["label_smoothing"], values["label_smoothing"]) == (0.02, 0.0)
    assert planned("kind", num_rows=100_000)["epochs"] == 64


def test_what_is_said_comes_before_the_defaults_of_the_task_and_so_does_what_the_optimizer_needs() -> None:
    assert planned("y", learning_rate=0.01)["learning_rate"] == 0.01
    assert planned("y", optimizer="sgd")["learning_rate"] == 0.02
    gradient_descent = planned("y", optimizer="gd")
    assert (gradient_descent["regularization_schedule"], gradient_descent["schedule"]) == ("constant", "constant")


def test_a_loss_that_cannot_be_smoothed_is_not() -> None:
    assert planned("kind", loss="mse")["label_smoothing"] == 0.0


def test_a_planned_plan_stays_as_it_is() -> None:
    once = planned("y")
    assert planned("y", **once) == once


def test_scales_learn_six_times_as_fast_and_biases_do_not_decay() -> None:
    training = make_training()
    training.run(lambda now: "pause" if now.step == 5 else None, lambda now: None)
    network = training.network
    groups = {
        id(p): group
        for optimizer in training.stepper.optimizers
        for group in optimizer.param_groups
        for p in group["params"]
    }
    weight, bias = groups[id(network.linears[0].weight)], groups[id(network.linears[0].bias)]
    assert groups[id(network.scale)]["lr"] == pytest.approx(6.0 * weight["lr"])
    assert (weight["weight_decay"], bias["weight_decay"]) == (0.02, 0.0)
    assert groups[id(network.numbers[1].weight)]["lr"] == bias["lr"] == pytest.approx(0.1 * weight["lr"])
    assert weight["lr"] > 0


def test_dropout_and_decay_are_gone_at_the_end_of_the_training() -> None:
    training = make_training(epochs=50, batch_size=16)
    full = training.network.dropout.p
    seen = []
    training.run(lambda now: None, lambda now: seen.append(now.network.dropout.p))
    assert seen[10] == full == 0.15
    assert seen[-1] < 0.001
    assert max(group["weight_decay"] for group in training.stepper.optimizers[0].param_groups) < 0.001


@pytest.mark.parametrize(("task", "bounded"), [("regression", True), ("binary", False)])
def test_a_regression_never_answers_beyond_what_it_was_taught_and_logits_have_no_bounds(
    task: str, bounded: bool
) -> None:
    data = make_training().train
    network = make_training().network
    y_B = data.y_B if task == "regression" else (data.y_B > 0).float()
    network.fit(data.x_BF, y_B, task)
    network.eval()
    with torch.no_grad():
        network.linears[-1].bias.fill_(50.0)
        answers = network(data.x_BF)
    assert (answers.max() == y_B.max()) == bounded
    assert (answers.max() > y_B.max()) != bounded


def test_categories_are_one_hot_or_vectors_and_unknown_ones_are_zero() -> None:
    layout = Layout(1, 1, (Block("index", 2), Block("index", 3), Block("ordinal", 4)))
    module = FlatCategories(layout, 2, 5, std=1.0, dtype=torch.float32)
    out_BC = module(torch.tensor([[9.0, 1.0, 2.0, 3.0, 0.25], [9.0, 0.0, 0.0, 0.0, 0.5]]))
    assert out_BC[0, :4].tolist() == [1.0, 0.0, 1.0, 0.25]
    assert torch.equal(out_BC[0, 4:], module.vectors.table.weight[3])
    assert out_BC[1].tolist() == [0.0, 0.0, 0.0, 0.5] + [0.0] * 5


@pytest.mark.parametrize("hidden", [[], [4]])
def test_a_zero_vector_stays_zero_while_it_learns(hidden: list[int]) -> None:
    training = make_training(epochs=3, hidden=hidden)
    training.run(lambda now: None, lambda now: None)
    assert not training.network.categories.vectors.table.weight[0].any()
