"""The network of RealMLP: bent numbers with periodic embeddings, layers in NTK parametrisation, learned activations.

Shapes: x_BF inputs, N numbers, K outputs, H frequencies, D values learned for each number.
Deterministic: a function of torch's global generator. Source: Holzmüller, Grinsztajn and Steinwart, arXiv 2407.04491.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.learning.embedded import category_width
from app.learning.graph import Writer
from app.learning.layout import Layout
from app.learning.networks.categories import FlatCategories
from app.learning.networks.piecewise import PiecewiseNumbers

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"selu": functional.selu, "mish": functional.mish}
OPERATORS = {"selu": "Selu", "mish": "Mish"}
# How fast the parts learn, against the weights of the layers.
SCALE_RATE, SMALL_RATE = 6.0, 0.1
# Beyond about this a bent number hardly grows.
BEND = 3.0
NO_BOUND = torch.finfo(torch.float32).max


class ScaledLinear(nn.Module):
    """y = x W / sqrt(fan_in) + b, all of W and b standard normal at first (NTK parametrisation)."""

    def __init__(self, fan_in: int, fan_out: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out, dtype=dtype))
        self.bias = nn.Parameter(torch.randn(fan_out, dtype=dtype))
        self.factor = 1.0 / math.sqrt(fan_in)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return y (rows, fan_out)."""
        return torch.addmm(self.bias, x_BF, self.weight * self.factor)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.add("Gemm", writer.weight(self.weight * self.factor), writer.weight(self.bias))


class LearnedActivation(nn.Module):
    """y = x + a (f(x) - x): between the identity and f, learned for each unit, at first f."""

    def __init__(self, name: str, num_units: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.name, self.function = name, ACTIVATIONS[name]
        self.share = nn.Parameter(torch.ones(num_units, dtype=dtype))

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return y, shaped as x."""
        return x_BF + self.share * (self.function(x_BF) - x_BF)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        writer.add(OPERATORS[self.name])
        writer.add("Sub", x)
        writer.add("Mul", writer.weight(self.share))
        writer.add("Add", x)


class Bend(nn.Module):
    """y = x / sqrt(1 + (x/3)^2): the same around zero, and hardly more than 3 beyond."""

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return y, shaped as x."""
        return x_BN / torch.sqrt(1.0 + (x_BN / BEND) ** 2)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        writer.add("Div", writer.weight(torch.tensor(BEND)))
        writer.add("Mul", writer.last)
        writer.add("Add", writer.weight(torch.tensor(1.0)))
        root = writer.add("Sqrt")
        writer.apply("Div", x, root)


class PeriodicNumbers(nn.Module):
    """Each number beside D linear functions of cosines of it (PBLD embeddings)."""

    def __init__(self, num_numbers: int, num_frequencies: int, scale: float, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(num_frequencies)
        self.frequency = nn.Parameter(torch.randn(num_numbers, num_frequencies, dtype=dtype) * scale)
        self.phase = nn.Parameter(_uniform(math.pi, num_numbers, num_frequencies, dtype=dtype))
        self.weight = nn.Parameter(_uniform(bound, num_numbers, num_frequencies, width, dtype=dtype))
        self.bias = nn.Parameter(_uniform(bound, num_numbers, width, dtype=dtype))

    def forward(self, x_BN: Tensor) -> Tensor:
        """Return the values (rows, N, 1 + D)."""
        x_BN1 = x_BN.unsqueeze(2)
        waves_BNH = torch.cos(x_BN1 * (2.0 * math.pi * self.frequency) + self.phase)
        mixed_BND = torch.bmm(waves_BNH.transpose(0, 1), self.weight).transpose(0, 1) + self.bias
        return torch.cat([x_BN1, mixed_BND], dim=2)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.add("Unsqueeze", writer.weight(torch.tensor([2])))
        writer.add("Mul", writer.weight(2.0 * math.pi * self.frequency))
        writer.add("Add", writer.weight(self.phase))
        writer.add("Cos")
        writer.add("Transpose", perm=[1, 0, 2])
        writer.add("MatMul", writer.weight(self.weight))
        writer.add("Transpose", perm=[1, 0, 2])
        mixed = writer.add("Add", writer.weight(self.bias))
        writer.apply("Concat", x, mixed, axis=2)


def _uniform(bound: float, *shape: int, dtype: torch.dtype) -> Tensor:
    return (torch.rand(*shape, dtype=dtype) * 2.0 - 1.0) * bound


def _number_embedding(num_numbers: int, params: Any, dtype: torch.dtype) -> nn.Module:
    if params.number_embedding == "piecewise_linear":
        return PiecewiseNumbers(num_numbers, params.num_bins, params.number_width, dtype)
    return PeriodicNumbers(num_numbers, params.num_frequencies, params.frequency_scale, params.number_width, dtype)


class RealMLP(nn.Module):
    """The whole network; in a regression its answers stay within the range of the training targets."""

    low: Tensor
    high: Tensor

    def __init__(self, layout: Layout, num_outputs: int, params: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.num_numbers = layout.num_numbers
        self.numbers = nn.Sequential(Bend(), _number_embedding(layout.num_numbers, params, dtype), nn.Flatten())
        self.categories = FlatCategories(layout, params.max_one_hot, params.category_width, std=1.0, dtype=dtype)
        width = layout.num_numbers * (1 + params.number_width)
        width += category_width(layout, params.max_one_hot, params.category_width)
        self.scale = nn.Parameter(torch.ones(width, dtype=dtype))
        widths = [width, *params.hidden]
        self.linears = nn.ModuleList(ScaledLinear(*sizes, dtype) for sizes in pairwise([*widths, num_outputs]))
        self.activations = nn.ModuleList(LearnedActivation(params.activation, size, dtype) for size in params.hidden)
        self.dropout = nn.Dropout(params.dropout)
        self.register_buffer("low", torch.tensor(-NO_BOUND, dtype=dtype))
        self.register_buffer("high", torch.tensor(NO_BOUND, dtype=dtype))

    def fit(self, x_BF: Tensor, y_B: Tensor, task: str) -> None:
        """Remember the range of the targets of a regression, and the quantiles of the numbers."""
        bend, embedding, _ = self.numbers
        if isinstance(embedding, PiecewiseNumbers):
            embedding.bins.fit(bend(x_BF[:, : self.num_numbers]), y_B, task)
        if task == "regression":
            self.low.copy_(y_B.min())
            self.high.copy_(y_B.max())

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return raw outputs (rows, num_outputs)."""
        parts = [self.categories(x_BF)]
        if self.num_numbers:
            parts.append(self.numbers(x_BF[:, : self.num_numbers]))
        h_BF = torch.cat(parts, dim=1) * self.scale
        for linear, activation in zip(self.linears, self.activations, strict=False):
            h_BF = self.dropout(activation(linear(h_BF)))
        out_BK: Tensor = self.linears[-1](h_BF)
        # Not in training: a clamped answer would learn nothing.
        return out_BK if self.training else torch.minimum(torch.maximum(out_BK, self.low), self.high)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        parts = [writer.module(self.categories, x)]
        if self.num_numbers:
            parts.append(writer.module(self.numbers, writer.columns(x, range(self.num_numbers))))
        writer.concat(parts)
        writer.add("Mul", writer.weight(self.scale))
        for linear, activation in zip(self.linears, self.activations, strict=False):
            writer.module(linear, writer.last)
            writer.module(activation, writer.last)
        writer.module(self.linears[-1], writer.last)
        writer.add("Max", writer.weight(self.low))
        writer.add("Min", writer.weight(self.high))

    def parameter_groups(self, weight_decay: float) -> Sequence[dict[str, Any]]:
        """Return the groups with their own rates; biases do not decay."""
        linears = list(self.linears)
        weights = [*(linear.weight for linear in linears), *self.categories.parameters()]
        slow = [*self.numbers.parameters(), *self.activations.parameters()]
        biases = [linear.bias for linear in linears]
        groups: list[tuple[Iterable[Any], float, float]] = [
            (weights, 1.0, weight_decay),
            ([self.scale], SCALE_RATE, weight_decay),
            (slow, SMALL_RATE, weight_decay),
            (biases, SMALL_RATE, 0.0),
        ]
        return [
            {"params": list(params), "rate_factor": factor, "weight_decay": decay} for params, factor, decay in groups
        ]
