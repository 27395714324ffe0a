"""Numbers as several values each: in bins of the training rows, or as sines and cosines of learned frequencies.

Shapes: x_BN numbers, E bins, results (rows, N, D). Deterministic: a function of torch's global generator and, for bins,
of the training rows. Source: see number_embeddings.py.
"""

from __future__ import annotations

import math

import torch
from rtdl_num_embeddings import PeriodicEmbeddings
from torch import Tensor, nn

from app.learning.graph import Writer
from app.learning.networks.piecewise import Bins
from app.learning.number_embeddings import NumberEmbeddingParams


class PiecewiseLinear(nn.Module):
    """A line for each number, and on top a function that bends at the edges of its bins; that one starts at 0.

    Source: version B of the package's embeddings of this name; theirs goes on bending beyond the training rows, and its
    shapes depend on them, so that it could not be built from a file of weights.
    """

    def __init__(self, num_numbers: int, num_bins: int, cut: str, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(width)
        self.scale = nn.Parameter(torch.empty(num_numbers, width, dtype=dtype).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_numbers, width, dtype=dtype).uniform_(-bound, bound))
        self.weight = nn.Parameter(torch.zeros(num_numbers, num_bins, width, dtype=dtype))
        self.bins = Bins(num_numbers, num_bins, dtype, cut=cut)

    def fit(self, x_BN: Tensor, y_B: Tensor, task: str) -> None:
        """Choose the bins."""
        self.bins.fit(x_BN, y_B, task)

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the values (rows, N, D)."""
        bent_BND = torch.bmm(self.bins(x_BN).transpose(0, 1), self.weight).transpose(0, 1)
        return torch.addcmul(self.bias, x_BN.unsqueeze(2), self.scale) + bent_BND

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        writer.module(self.bins, x)
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("MatMul", writer.weight(self.weight))
        bent = writer.add("Transpose", perm=[1, 0, 2])
        writer.apply("Unsqueeze", x, writer.weight(torch.tensor([2])))
        writer.add("Mul", writer.weight(self.scale))
        writer.add("Add", writer.weight(self.bias))
        writer.add("Add", bent)


class Periodic(nn.Module):
    """Cosines and sines of each number, a layer of its own, and ReLU (PLR)."""

    def __init__(self, num_numbers: int, num_frequencies: int, scale: float, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.embeddings = PeriodicEmbeddings(
            num_numbers, width, n_frequencies=num_frequencies, frequency_init_scale=scale, lite=False
        ).to(dtype)

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the values (rows, N, D)."""
        values_BND: Tensor = self.embeddings(x_BN)
        return values_BND

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.add("Unsqueeze", writer.weight(torch.tensor([2])))
        angles = writer.add("Mul", writer.weight(2.0 * math.pi * self.embeddings.periodic.weight))
        sines = writer.add("Sin")
        writer.last = angles
        writer.add("Cos")
        writer.add("Concat", sines, axis=2)
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("MatMul", writer.weight(self.embeddings.linear.weight))
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("Add", writer.weight(self.embeddings.linear.bias))
        writer.add("Relu")


class EachNumber(nn.Module):
    """No embedding: a number is its own only value."""

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the values (rows, N, 1)."""
        return x_BN.unsqueeze(2)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.add("Unsqueeze", writer.weight(torch.tensor([2])))


def make_numbers(num_numbers: int, params: NumberEmbeddingParams, width: int, dtype: torch.dtype) -> nn.Module:
    """Return the embedding that the parameters ask for, (rows, N) to (rows, N, width)."""
    if params.number_embedding == "none":
        return EachNumber()
    if params.number_embedding == "piecewise_linear":
        return PiecewiseLinear(num_numbers, params.num_bins, params.bins, width, dtype)
    return Periodic(num_numbers, params.num_frequencies, params.frequency_scale, width, dtype)


class FlatInputs(nn.Module):
    """All inputs side by side: embedded numbers, then what another module makes of flags and categories."""

    def __init__(
        self, num_numbers: int, params: NumberEmbeddingParams, width: int, rest: nn.Module, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.num_numbers = num_numbers
        self.numbers = make_numbers(num_numbers, params, width, dtype) if num_numbers else None
        self.rest = rest

    def fit(self, x_BF: Tensor, y_B: Tensor, task: str) -> None:
        """Let the embedding see the training rows, if it wants to."""
        if isinstance(self.numbers, PiecewiseLinear):
            self.numbers.fit(x_BF[:, : self.num_numbers], y_B, task)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return the values (rows, N * width + those of the rest)."""
        rest_BC: Tensor = self.rest(x_BF)
        if self.numbers is None:
            return rest_BC
        return torch.cat([self.numbers(x_BF[:, : self.num_numbers]).flatten(1), rest_BC], dim=1)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        parts = []
        if self.numbers is not None:
            writer.module(self.numbers, writer.columns(x, range(self.num_numbers)))
            parts.append(writer.add("Flatten", axis=1))
        writer.concat([*parts, writer.module(self.rest, x)])


class Remaining(nn.Module):
    """Everything but the numbers, as it is."""

    def __init__(self, num_numbers: int, num_inputs: int) -> None:
        super().__init__()
        self.num_numbers, self.num_inputs = num_numbers, num_inputs

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return the inputs (rows, F - N)."""
        return x_BF[:, self.num_numbers :]

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.columns(writer.last, range(self.num_numbers, self.num_inputs))
