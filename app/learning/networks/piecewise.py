"""Numbers by bins: how far each has come in bins of the training rows.

Shapes: x_BN numbers, Q bins, D values learned for each number. Deterministic: a function of torch's global generator
and of the training rows. Source: piecewise-linear encoding, Gorishniy, Rubachev and Babenko, arXiv 2203.05556.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from app.learning.ensemble.encoders import target_columns
from app.learning.graph import Writer
from app.learning.networks.edges import quantile_edges, target_edges

# Edges that are nearer than this make no bin.
NO_WIDTH = 1e-6


class Bins(nn.Module):
    """How far a number has come in each bin, from 0 to 1; until `fit` there are no bins.

    They are buffers of a fixed shape, so that a network can be built, counted and loaded without the training rows; a
    number with fewer bins has zeros for the rest. `cut` says where: at "quantile"s, or as tells the "target" best.
    """

    low_NQ: Tensor
    rise_NQ: Tensor

    def __init__(self, num_numbers: int, num_bins: int, dtype: torch.dtype, *, cut: str) -> None:
        super().__init__()
        self.cut = cut
        self.register_buffer("low_NQ", torch.zeros(num_numbers, num_bins, dtype=dtype))
        self.register_buffer("rise_NQ", torch.zeros(num_numbers, num_bins, dtype=dtype))

    def fit(self, x_BN: Tensor, y_B: Tensor, task: str) -> None:
        """Place the bins of each number."""
        num_bins = self.low_NQ.shape[1]
        t_BC = target_columns(y_B.double().numpy(), int(y_B.max()) + 1 if task == "multiclass" else 1)
        for number, x_B in enumerate(x_BN.double().numpy().T):
            by_target = self.cut == "target"
            edges = target_edges(x_B, t_BC, num_bins) if by_target else quantile_edges(x_B, num_bins)
            edge_E = torch.from_numpy(edges).to(self.low_NQ)
            apart = edge_E.diff() > NO_WIDTH
            edge_E = torch.cat([edge_E[:1], edge_E[1:][apart]])
            self.low_NQ[number, : len(edge_E) - 1] = edge_E[:-1]
            self.rise_NQ[number, : len(edge_E) - 1] = 1.0 / edge_E.diff()

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the shares (rows, N, Q)."""
        return ((x_BN.unsqueeze(2) - self.low_NQ) * self.rise_NQ).clamp(0.0, 1.0)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.add("Unsqueeze", writer.weight(torch.tensor([2])))
        writer.add("Sub", writer.weight(self.low_NQ))
        writer.add("Mul", writer.weight(self.rise_NQ))
        writer.add("Clip", writer.weight(torch.tensor(0.0)), writer.weight(torch.tensor(1.0)))


class PiecewiseNumbers(nn.Module):
    """Each number beside D linear functions of its shares of Q bins."""

    def __init__(self, num_numbers: int, num_bins: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(num_bins)
        self.weight = nn.Parameter((torch.rand(num_numbers, num_bins, width, dtype=dtype) * 2.0 - 1.0) * bound)
        self.bias = nn.Parameter(torch.zeros(num_numbers, width, dtype=dtype))
        self.bins = Bins(num_numbers, num_bins, dtype, cut="quantile")

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the values (rows, N, 1 + D)."""
        mixed_BND = torch.bmm(self.bins(x_BN).transpose(0, 1), self.weight).transpose(0, 1) + self.bias
        return torch.cat([x_BN.unsqueeze(2), mixed_BND], dim=2)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        writer.module(self.bins, x)
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("MatMul", writer.weight(self.weight))
        writer.add("Transpose", perm=[1, 0, 2])
        mixed = writer.add("Add", writer.weight(self.bias))
        writer.apply("Unsqueeze", x, writer.weight(torch.tensor([2])))
        writer.add("Concat", mixed, axis=2)
