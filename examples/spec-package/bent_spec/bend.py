"""The part of the network that is not torch's own; imported in training children only, because it imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bend(nn.Module):
    """tanh(a x), with a learned steepness a for each input.

    Shapes: x_BF (rows, inputs) to the same. Deterministic: draws nothing.
    """

    def __init__(self, num_inputs: int, steepness: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.steepness_F = nn.Parameter(torch.full((num_inputs,), steepness, dtype=dtype))

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return the bent inputs."""
        return torch.tanh(self.steepness_F * x_BF)
