"""How much each member of an ensemble says: weights by greedy selection, and the network that answers for all.

Shapes: p_BK answers of one member (probabilities of K classes, or one value), the average of its folds.
Source: Caruana, Niculescu-Mizil, Crew and Ksikes, Ensemble selection from libraries of models, ICML 2004, with
replacement. Deterministic: yes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.learning.graph import Writer

NUM_CHOICES = 25
FEW_ROWS = 500
# A member is clearly worse when its mean loss is so many standard errors above that of the best.
NUM_ERRORS = 2.0
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)

Floats = NDArray[np.float64]


def choose_weights(answers: Sequence[Floats], losses_of: Callable[[Floats], Floats]) -> list[float]:
    """Return weights that sum to 1, given the answers of each member and the loss of each row, `losses_of(p_BK)`.

    They are chosen greedily, and drawn towards equal weights of all members that are not clearly worse than the best:
    a choice by few rows is luck. FEW_ROWS rows count as much as that caution.
    """
    losses_MB = np.array([losses_of(answer) for answer in answers])
    best = int(losses_MB.mean(axis=1).argmin())
    worse_MB = losses_MB - losses_MB[best]
    num_rows = losses_MB.shape[1]
    clearly_M = worse_MB.mean(axis=1) > NUM_ERRORS * worse_MB.std(axis=1) / np.sqrt(num_rows)
    equal_M = ~clearly_M / (~clearly_M).sum()
    greedy_M = np.array(_greedy_weights(answers, lambda p_BK: float(losses_of(p_BK).mean())))
    trust = num_rows / (num_rows + FEW_ROWS)
    weights: list[float] = (trust * greedy_M + (1.0 - trust) * equal_M).tolist()
    return weights


def _greedy_weights(answers: Sequence[Floats], loss: Callable[[Floats], float]) -> list[float]:
    """Members are added one by one, whichever lowers the loss of the average most; ties go to the first.

    The average after the best choice counts, not the last one.
    """
    counts = [0] * len(answers)
    total = np.zeros_like(answers[0])
    best_loss, best = np.inf, counts
    for number in range(1, NUM_CHOICES + 1):
        losses = [loss((total + answer) / number) for answer in answers]
        chosen = int(np.argmin(losses))
        counts[chosen] += 1
        total = total + answers[chosen]
        if losses[chosen] < best_loss:
            best_loss, best = losses[chosen], list(counts)
    return [count / sum(best) for count in best]


class Blend(nn.Module):
    """The weighted average of networks' answers as one raw output: log-probabilities, log-odds, or a value.

    `weights` sum to 1. Values stay within `bounds`, those of the targets that were learned from.
    """

    weights_M: Tensor
    bounds: Tensor

    def __init__(self, networks: Sequence[nn.Module], weights: Sequence[float], task: str, bounds: Tensor) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.task = task
        self.register_buffer("weights_M", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("bounds", bounds)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return out_BK."""
        outs = [network(x_BF) for network in self.networks]
        weights = self.weights_M.tolist()
        if self.task == "multiclass":
            return _mixed(weights, [torch.softmax(out, dim=1) for out in outs]).clamp_min(SMALLEST_PROBABILITY).log()
        if self.task == "regression":
            return _mixed(weights, outs).clamp(self.bounds[0], self.bounds[1])
        # Both probabilities apart: 1 - p loses the small ones.
        yes = _mixed(weights, [torch.sigmoid(out) for out in outs]).clamp_min(SMALLEST_PROBABILITY)
        no = _mixed(weights, [torch.sigmoid(-out) for out in outs]).clamp_min(SMALLEST_PROBABILITY)
        return yes.log() - no.log()

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        outs = [writer.module(network, x) for network in self.networks]
        if self.task == "multiclass":
            self._write_log(writer, [writer.apply("Softmax", out, axis=1) for out in outs])
        elif self.task == "regression":
            self._write_mixed(writer, outs)
            writer.add("Clip", writer.weight(self.bounds[0]), writer.weight(self.bounds[1]))
        else:
            yes = self._write_log(writer, [writer.apply("Sigmoid", out) for out in outs])
            no = self._write_log(writer, [writer.apply("Sigmoid", writer.apply("Neg", out)) for out in outs])
            writer.apply("Sub", yes, no)

    def _write_log(self, writer: Writer, values: Sequence[str]) -> str:
        self._write_mixed(writer, values)
        writer.add("Max", writer.weight(torch.tensor(SMALLEST_PROBABILITY)))
        return writer.add("Log")

    def _write_mixed(self, writer: Writer, values: Sequence[str]) -> str:
        scaled = [
            writer.apply("Mul", value, writer.weight(weight))
            for value, weight in zip(values, self.weights_M, strict=True)
        ]
        return writer.apply("Sum", *scaled)


def _mixed(weights: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    mixed = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        mixed = mixed + weight * value
    return mixed
