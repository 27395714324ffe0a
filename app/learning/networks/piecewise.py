"""Numbers by bins: each beside learned functions of how far it has come in the bins between its quantiles.

Shapes: x_BN numbers, Q bins, D values learned for each number. Deterministic: a function of torch's global generator.
Source: piecewise-linear encoding, Gorishniy, Rubachev and Babenko, arXiv 2203.05556.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from app.learning.graph import Writer

# A bin between quantiles that are nearer than this has no width.
NO_WIDTH = 1e-6


class PiecewiseNumbers(nn.Module):
    """Each number beside D linear functions of Q shares: how far it has come in each bin, from 0 to 1."""

    low_NQ: Tensor
    rise_NQ: Tensor

    def __init__(self, num_numbers: int, num_bins: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(num_bins)
        self.weight = nn.Parameter((torch.rand(num_numbers, num_bins, width, dtype=dtype) * 2.0 - 1.0) * bound)
        self.bias = nn.Parameter(torch.zeros(num_numbers, width, dtype=dtype))
        self.register_buffer("low_NQ", torch.zeros(num_numbers, num_bins, dtype=dtype))
        self.register_buffer("rise_NQ", torch.zeros(num_numbers, num_bins, dtype=dtype))

    def fit(self, x_BN: Tensor) -> None:
        """Place the bins between quantiles of these numbers."""
        shares = np.linspace(0.0, 1.0, self.low_NQ.shape[1] + 1)
        edges = np.quantile(x_BN.double().numpy(), shares, axis=0).T
        width_NQ = np.diff(edges, axis=1)
        rise_NQ = np.where(width_NQ > NO_WIDTH, 1.0 / np.maximum(width_NQ, NO_WIDTH), 0.0)
        self.low_NQ.copy_(torch.from_numpy(edges[:, :-1].copy()))
        self.rise_NQ.copy_(torch.from_numpy(rise_NQ))

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the values (rows, N, 1 + D)."""
        x_BN1 = x_BN.unsqueeze(2)
        come_BNQ = ((x_BN1 - self.low_NQ) * self.rise_NQ).clamp(0.0, 1.0)
        mixed_BND = torch.bmm(come_BNQ.transpose(0, 1), self.weight).transpose(0, 1) + self.bias
        return torch.cat([x_BN1, mixed_BND], dim=2)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.add("Unsqueeze", writer.weight(torch.tensor([2])))
        writer.add("Sub", writer.weight(self.low_NQ))
        writer.add("Mul", writer.weight(self.rise_NQ))
        writer.add("Clip", writer.weight(torch.tensor(0.0)), writer.weight(torch.tensor(1.0)))
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("MatMul", writer.weight(self.weight))
        writer.add("Transpose", perm=[1, 0, 2])
        mixed = writer.add("Add", writer.weight(self.bias))
        writer.apply("Concat", x, mixed, axis=2)
