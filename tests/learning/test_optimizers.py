"""What optimizers and averages do to weights, against the formulas written out by hand.

Shapes: w (3, 2) weights, x_BF (8, 2) inputs, y_B (8,) values; out_BK is (8, 3) or (8, 1).
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from app.learning.averaging import Average
from app.learning.batches import Data
from app.learning.errors import Diverged
from app.learning.loop import Training
from app.learning.losses import make_loss
from app.learning.optimizers import hidden_matrices, make_optimizers, set_rate
from app.learning.spec import TrainingParams

NUM_ROWS = 96


def small_network(hidden: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))


def make_training(network: nn.Module, **params: Any) -> Training:
    generator = torch.Generator().manual_seed(1)
    dtype = next(network.parameters()).dtype
    x_BF = torch.randn(NUM_ROWS, 2, generator=generator).to(dtype)
    data = Data(x_BF, x_BF[:, 0] - x_BF[:, 1] ** 2)
    checked = TrainingParams.model_validate({"schedule": "constant", "warmup_epochs": 0.0, **params})
    loss = make_loss("mse", "regression")
    return Training(network, checked, loss, loss, train=data, validation=data, seed=3)


def trained(network: nn.Module, **params: Any) -> list[Tensor]:
    training = make_training(network, **params)
    assert training.run(lambda now: None, lambda now: None) == "epochs"
    return [parameter.detach() for parameter in training.network.parameters()]


def gradient_of(w: Tensor) -> Tensor:
    """The gradient of (w^4).sum() / 4."""
    return w**3


def follow(optimizer: str, steps: int, rates: list[float], **params: Any) -> tuple[Tensor, Tensor]:
    """Return the weight after some steps down (w^4).sum() / 4, and its average."""
    network = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.arange(1.0, 7.0).reshape(3, 2))
    average = Average(network)
    optimizers = make_optimizers(network, TrainingParams.model_validate({"optimizer": optimizer, **params}), average)
    for step in range(steps):
        set_rate(optimizers, rates[step])
        network.weight.grad = gradient_of(network.weight.detach())
        for each in optimizers:
            each.step()
    return network.weight.detach(), average.network.weight.detach()


def test_schedule_free_follows_its_three_sequences() -> None:
    rates, decay, beta1, beta2, epsilon = [0.0, 0.1, 0.2, 0.2], 0.3, 0.8, 0.9, 1e-3
    y, x = follow("schedule_free", 4, rates, weight_decay=decay, beta1=beta1, beta2=beta2, epsilon=epsilon)
    w = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(3, 2)
    z, average, here, v, total = w.clone(), w.clone(), w.clone(), torch.zeros_like(w), 0.0
    for step, rate in enumerate(rates, start=1):
        g = gradient_of(here)
        v = beta2 * v + (1 - beta2) * g * g
        z = z - rate * (g / ((v / (1 - beta2**step)).sqrt() + epsilon) + decay * here)
        total += rate**2
        c = rate**2 / total if total else 0.0
        average = (1 - c) * average + c * z
        here = (1 - beta1) * z + beta1 * average
    torch.testing.assert_close(y, here.float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x, average.float(), rtol=1e-5, atol=1e-6)


def test_muon_steps_hidden_matrices_by_about_orthogonal_ones_and_the_rest_as_adamw() -> None:
    network = small_network(hidden=16)
    first, middle, last = (network[index].weight for index in (0, 2, 4))
    assert hidden_matrices(network) == {first, middle}
    before = copy.deepcopy(network)
    training = make_training(network, optimizer="muon", weight_decay=0.0, batch_size=None, epochs=1, learning_rate=0.1)
    training.run(lambda now: None, lambda now: None)
    # Five Newton-Schulz iterations bring all but the smallest singular values near 1; then comes 0.2 sqrt(16).
    lengths = torch.linalg.svdvals(middle.detach() - before[2].weight.detach()) / (0.1 * 0.2 * 4)
    assert 0.5 < lengths[:4].min() <= lengths.max() < 1.4
    torch.testing.assert_close((last - before[4].weight).abs(), torch.full_like(last, 0.1), rtol=1e-3, atol=0)


def test_a_network_without_hidden_matrices_learns_with_muon_as_with_adamw() -> None:
    params: dict[str, Any] = {"epochs": 3, "early_stopping": None}
    torch.manual_seed(0)
    layer = nn.Linear(2, 1)
    muon, adamw = (trained(copy.deepcopy(layer), optimizer=name, **params) for name in ("muon", "adamw"))
    assert all(torch.equal(one, other) for one, other in zip(muon, adamw, strict=True))


@pytest.mark.parametrize("params", [{"beta1": 0.5}, {"beta2": 0.5}, {"epsilon": 0.1}])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon", "schedule_free"])
def test_the_parameters_of_adaptive_optimizers_reach_them(optimizer: str, params: dict[str, float]) -> None:
    rates = [0.01] * 5
    usual, other = follow(optimizer, 5, rates), follow(optimizer, 5, rates, **params)
    assert not torch.equal(usual[0], other[0])


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"optimizer": "sgd", "beta2": 0.9}, "beta2"),
        ({"optimizer": "adamw", "momentum": 0.5}, "momentum"),
        ({"optimizer": "adam", "nesterov": True}, "nesterov"),
        ({"optimizer": "rmsprop", "beta1": 0.5}, "beta1"),
        ({"optimizer": "gd", "ema_decay": 0.5}, "ema_decay"),
        ({"optimizer": "schedule_free", "schedule": "cosine"}, "schedule"),
        ({"optimizer": "schedule_free", "ema_decay": 0.9}, "ema_decay"),
    ],
)
def test_a_parameter_that_would_do_nothing_is_refused_by_name(params: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingParams.model_validate(params)
    assert caught.value.errors()[0]["ctx"]["field"] == field


@pytest.mark.parametrize(("optimizer", "batch_size"), [("gd", None), ("sgd", 8), ("adamw", 8), ("adamw", None)])
def test_accumulated_batches_step_like_one_large_batch(optimizer: str, batch_size: int | None) -> None:
    params: dict[str, Any] = {"optimizer": optimizer, "epochs": 4, "learning_rate": 0.05}
    large = trained(small_network().double(), **params, batch_size=batch_size and 4 * batch_size)
    small = trained(small_network().double(), **params, batch_size=batch_size, accumulate=4)
    for one, other in zip(large, small, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def test_the_average_of_the_weights_is_what_is_measured_and_kept() -> None:
    decay, rate, steps = 0.6, 0.05, 6
    network = small_network()
    params = {"optimizer": "gd", "learning_rate": rate, "epochs": steps}
    kept = [parameter.detach().clone() for parameter in network.parameters()]
    for step in range(steps):
        moved = trained(small_network(), **params | {"epochs": step + 1})
        share = min(decay, (1 + step) / (10 + step))
        kept = [share * average + (1 - share) * now for average, now in zip(kept, moved, strict=True)]
    params |= {"optimizer": "sgd", "momentum": 0.0, "batch_size": None, "early_stopping": None}
    training = make_training(network, **params, ema_decay=decay)
    training.run(lambda now: None, lambda now: None)
    measured = training.progress.validation_loss
    assert training.restore_best() == steps
    for parameter, expected in zip(training.network.parameters(), kept, strict=True):
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)
    data = training.train
    loss = training.loss(training.network(data.x_BF), data.y_B, None).item()
    assert measured == pytest.approx(loss, rel=1e-6)


def test_an_average_has_the_statistics_of_the_trained_network() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    training = make_training(network, ema_decay=0.9, epochs=2, early_stopping=None)
    training.run(lambda now: None, lambda now: None)
    statistics = network[1].running_mean.clone()
    training.restore_best()
    assert torch.equal(network[1].running_mean, statistics)
    assert not torch.equal(statistics, torch.zeros(4))


def test_weights_that_are_not_finite_never_become_a_checkpoint() -> None:
    training = make_training(small_network(), optimizer="sgd", learning_rate=0.01)
    with torch.no_grad():
        training.network[0].bias[0] = torch.inf
    with pytest.raises(Diverged, match="the weights were not finite"):
        training.checkpoint()
