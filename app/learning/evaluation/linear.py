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

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.learning.export import Answer
from app.learning.layout import Layout
from app.learning.prepared import Prepared, Rows

MOST_CELLS = 20_000_000
MOST_PRODUCTS = 100_000_000
# Of a column that holds numbers of slots, the most frequent ones get an input each.
MOST_SLOTS = 100
NUM_ROUNDS, ITERATIONS_A_ROUND = 6, 20
LEAST_GAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Linear:
    """A trained baseline: its answers, and how it was trained."""

    answer: Answer
    num_rows: int
    num_rounds: int
    converged: bool


class Spread(nn.Module):
    """Standardises numbers, and gives the frequent slots of indexed columns an input each."""

    def __init__(self, layout: Layout, x_BF: Tensor) -> None:
        super().__init__()
        numbers_BN = x_BF[:, : layout.num_numbers].double()
        self.center_N = numbers_BN.mean(dim=0).float()
        deviation_N = numbers_BN.std(dim=0, correction=0)
        self.scale_N = torch.where(deviation_N > 0, deviation_N, 1.0).float()
        self.num_numbers = layout.num_numbers
        self.plain = [place for place in range(layout.num_numbers, layout.num_inputs) if place not in layout.indexed]
        # Repeated numbers are there as numbers; a linear model has no use for their levels.
        self.slots = {place: _frequent(x_BF[:, place]) for place, block in layout.places if block.encoding == "index"}
        self.width = self.num_numbers + len(self.plain) + sum(len(slots) for slots in self.slots.values())

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return z_BL for x_BF."""
        numbers_BN = (x_BF[:, : self.num_numbers] - self.center_N) / self.scale_N
        spread = [(x_BF[:, place, None] == slots).float() for place, slots in self.slots.items()]
        return torch.cat([numbers_BN, x_BF[:, self.plain], *spread], dim=1)


def _frequent(slots_B: Tensor) -> Tensor:
    counts = torch.bincount(slots_B.long())
    order = torch.argsort(counts, descending=True, stable=True)[:MOST_SLOTS]
    return order[counts[order] > 0].float()


def fit_linear(prepared: Prepared, is_late: Callable[[], bool]) -> Linear | None:
    """Return the baseline of a training, or None when `is_late` said so, or its loss is not finite.

    Raises: MemoryError, or what torch raises without memory.
    """
    head, train = prepared.head, prepared.rows["train"]
    spread = Spread(prepared.preparation.layout, torch.from_numpy(train.x_BF))
    chosen = _chosen(len(train), spread.width, head.num_outputs)
    z_BL = spread(torch.from_numpy(train.x_BF[::chosen]))
    layer = nn.Linear(spread.width, head.num_outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    loss = _objective(layer, z_BL, _targets(train, head.task, chosen), head.task)
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
    network = nn.Sequential(spread, layer)
    if not math.isfinite(loss().item()):
        return None
    return Linear(Answer(network, head.task), len(z_BL), num_rounds, converged)


def _chosen(num_rows: int, width: int, num_outputs: int) -> int:
    """Return every how many-th row to learn from."""
    affordable = min(MOST_CELLS // width, MOST_PRODUCTS // (width * num_outputs))
    return math.ceil(num_rows / max(1, affordable))


def _targets(train: Rows, task: str, chosen: int) -> Tensor:
    learned_B = torch.from_numpy(train.learned_B[::chosen])
    return learned_B.long() if task == "multiclass" else learned_B.float()


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
