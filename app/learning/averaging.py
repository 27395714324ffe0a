"""An average of the weights over the steps: measured, kept and exported in place of the last weights.

Source: exponential averages, Polyak and Juditsky, SIAM J. Control Optim. 30(4), 1992, with the decay of early steps
that TensorFlow's ExponentialMovingAverage has; the average of schedule_free is its optimizer's own. Buffers, such as
the statistics of a batch normalisation, are those of the trained network. Deterministic: a function of the steps.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """A second network of the same shape whose weights follow those of a trained one."""

    def __init__(self, network: nn.Module) -> None:
        self._trained = network
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._weights: list[Tensor] = list(self.network.parameters())
        self._trained_weights: list[Tensor] = list(network.parameters())

    def follow(self, decay: float, step: int) -> None:
        """Move towards the trained weights after this step (counted from 0): average <- d * average + (1 - d) * w.

        d is `decay`, or (1 + step) / (10 + step) while that is less: the weights of the first steps are soon forgotten.
        """
        share = 1.0 - min(decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._weights, self._trained_weights, share)

    def measured(self) -> nn.Module:
        """Return the averaged network with the buffers of the trained one."""
        for mine, theirs in zip(self.network.buffers(), self._trained.buffers(), strict=True):
            mine.copy_(theirs)
        return self.network
