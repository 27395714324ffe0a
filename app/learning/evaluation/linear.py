"""A linear model of the same prepared rows, trained beside every training: what a network has to beat. Imports torch.

Logistic, softmax or least-squares regression with as much L2 as scikit-learn's defaults, by L-BFGS from zero, at most
120 iterations on at most so many rows that one pass costs a tenth of a second. Deterministic: rows are chosen evenly,
without random numbers; the same thread count and CPU give the same bits.
Shapes: x_BF inputs as laid out in layout.py, z_BL the same with numbers standardised and slots spread out.
Source: L-BFGS, Liu and Nocedal, Mathematical Programming 45, 1989, in torch's form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.learning.export import Answer
from app.learning.layout import Layout
from app.learning.networks.spread import Spread
from app.learning.prepared import Prepared
from app.learning.spec import Task

MOST_CELLS = 20_000_000
MOST_PRODUCTS = 100_000_000
NUM_ROUNDS, ITERATIONS_A_ROUND = 6, 20
LEAST_GAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Linear:
    """A trained baseline: its answers, and how it was trained."""

    answer: Answer
    num_rows: int
    num_rounds: int
    converged: bool


def fit_linear(prepared: Prepared, is_late: Callable[[], bool]) -> Linear | None:
    """Return the baseline of a training, or None when `is_late` said so, or its loss is not finite.

    Raises: MemoryError, or what torch raises without memory.
    """
    head, train = prepared.head, prepared.rows["train"]
    x_BF, learned_B = torch.from_numpy(train.x_BF), torch.from_numpy(train.learned_B)
    fitted = fit_layer(prepared.preparation.layout, x_BF, learned_B, head.task, head.num_outputs, is_late)
    return None if fitted is None else Linear(Answer(fitted.network, head.task), *fitted[1:])


class Fitted(NamedTuple):
    """A linear network from x_BF to raw outputs, and how it was fitted."""

    network: nn.Sequential
    num_rows: int
    num_rounds: int
    converged: bool


def fit_layer(
    layout: Layout, x_BF: Tensor, learned_B: Tensor, task: Task, num_outputs: int, is_late: Callable[[], bool]
) -> Fitted | None:
    """Fit a layer to these rows, or as many of them as time allows; None when it is late or the loss is not finite."""
    spread = Spread.fit(layout, x_BF)
    every = _chosen(len(x_BF), spread.width, num_outputs)
    z_BL = spread(x_BF[::every])
    layer = nn.Linear(spread.width, num_outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    y_B = learned_B[::every].long() if task == "multiclass" else learned_B[::every].float()
    loss = _objective(layer, z_BL, y_B, task)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=ITERATIONS_A_ROUND, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    before, converged, num_rounds = math.inf, False, 0
    while num_rounds < NUM_ROUNDS and not converged:
        if is_late():
            return None
        num_rounds += 1
        value = optimizer.step(closure).item()  # type: ignore[no-untyped-call]
        converged, before = before - value < LEAST_GAIN * max(1.0, abs(before)), value
    if not math.isfinite(loss().item()):
        return None
    return Fitted(nn.Sequential(spread, layer).eval(), len(z_BL), num_rounds, converged)


def _chosen(num_rows: int, width: int, num_outputs: int) -> int:
    """Return every how many-th row to learn from."""
    affordable = min(MOST_CELLS // width, MOST_PRODUCTS // (width * num_outputs))
    return math.ceil(num_rows / max(1, affordable))


def _objective(layer: nn.Linear, z_BL: Tensor, y_B: Tensor, task: str) -> Callable[[], Tensor]:
    def objective() -> Tensor:
        out_BK: Tensor = layer(z_BL)
        penalty = (layer.weight**2).sum() / len(z_BL)
        if task == "multiclass":
            return functional.cross_entropy(out_BK, y_B) + penalty / 2
        if task == "regression":
            return functional.mse_loss(out_BK[:, 0], y_B) + penalty
        return functional.binary_cross_entropy_with_logits(out_BK[:, 0], y_B) + penalty / 2

    return objective
