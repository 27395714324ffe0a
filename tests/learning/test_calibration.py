"""One temperature makes probabilities mean what they say, never worse, and the served graph has it inside."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from app.learning.evaluation.answered import answers_of, softmax
from app.learning.evaluation.calibration import calibrate
from app.learning.export import Answer, export, trace_graph
from app.learning.metrics import log_loss
from app.learning.runtime import open_session
from app.learning.spec import Task


def logits(num_rows: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True logits, and classes drawn from them."""
    generator = np.random.default_rng(seed)
    true_BK = 2 * generator.normal(size=(num_rows, num_classes))
    drawn_B = (softmax(true_BK).cumsum(axis=1) > generator.random((num_rows, 1))).argmax(axis=1)
    return true_BK, drawn_B


@pytest.mark.parametrize("true_temperature", [0.3, 0.7, 1.8, 4.0])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_temperature_that_spoiled_the_logits_is_found(true_temperature: float, num_classes: int) -> None:
    true_BK, y_B = logits(4000, num_classes, 1)
    out_BK, task = true_BK * true_temperature, cast("Task", "multiclass")
    if num_classes == 2:
        out_BK, task = out_BK[:, 1:] - out_BK[:, :1], "binary"
    found = calibrate(out_BK, y_B, task)
    assert found is not None
    assert found["temperature"] == pytest.approx(true_temperature, rel=0.1)
    assert found["log_loss_after"] < found["log_loss_before"]
    assert found["ece_after"] < found["ece_before"]
    after_BK = answers_of(out_BK, task, found["temperature"])
    assert log_loss(after_BK, y_B) == pytest.approx(found["log_loss_after"])


@pytest.mark.parametrize("seed", range(40))
def test_the_log_loss_on_the_held_out_rows_is_never_worse(seed: int) -> None:
    generator = np.random.default_rng(seed)
    num_rows, num_classes = int(generator.integers(20, 60)), int(generator.integers(2, 5))
    true_BK, y_B = logits(num_rows, num_classes, seed)
    found = calibrate(true_BK * 10.0 ** generator.uniform(-2, 3), y_B, "multiclass")
    if found is not None:
        assert found["log_loss_after"] <= found["log_loss_before"]
        assert math.isfinite(found["temperature"])
        assert found["temperature"] > 0


def test_a_few_rows_that_are_all_right_do_not_make_a_model_certain() -> None:
    y_B = np.arange(30) % 2
    found = calibrate((2.0 * y_B - 1)[:, None], y_B, "binary")
    assert found is not None
    assert 0.1 < found["temperature"] < 1.0


def test_few_rows_or_one_class_are_left_alone() -> None:
    true_BK, y_B = logits(19, 3, 0)
    assert calibrate(true_BK, y_B, "multiclass") is None
    assert calibrate(np.ones((50, 1)), np.ones(50, np.int64), "binary") is None
    assert calibrate(np.zeros((0, 1)), np.zeros(0, np.int64), "binary") is None


def test_constant_logits_have_no_temperature_and_do_no_harm() -> None:
    found = calibrate(np.zeros((40, 3)), np.arange(40) % 3, "multiclass")
    assert found is not None
    assert found["temperature"] == 1.0


@pytest.mark.parametrize(("task", "num_outputs"), [("binary", 1), ("multiclass", 4)])
@pytest.mark.parametrize("make_graph", [export, trace_graph])
def test_the_written_and_the_traced_graph_divide_by_the_temperature(
    task: Any, num_outputs: int, make_graph: Callable[[Answer, torch.Tensor], bytes]
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, num_outputs)
    answer = Answer(nn.Sequential(layer), task, temperature=2.5)
    x_BF = torch.randn(9, 3)
    found_BK = open_session(make_graph(answer, x_BF)).run(None, {"x": x_BF.numpy()})[0]
    out_BK = layer(x_BF).detach().double().numpy()
    np.testing.assert_allclose(found_BK, answers_of(out_BK, task, 2.5), atol=1e-6)
    assert np.abs(found_BK - answers_of(out_BK, task)).max() > 0.01
