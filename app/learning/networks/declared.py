"""The network of a declaration: embeddings, layers in their order, the head that the task asks for.

Shapes: x_BF inputs as the layout says, K outputs. Deterministic: a function of torch's global generator.
Source: residual blocks, He et al., arXiv 1512.03385; layers and their initial weights are those of the spec `dense`,
embeddings those of `realmlp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from app.learning.declared import grammar
from app.learning.declared.arithmetic import input_width, num_parameters
from app.learning.graph import Writer
from app.learning.layout import Layout
from app.learning.networks.categories import FlatCategories
from app.learning.networks.piecewise import PiecewiseNumbers
from app.learning.networks.realmlp import PeriodicNumbers
from app.learning.specs.dense import between, initialise, make_activation, make_head

SLOT_STD = 0.1


class Residual(nn.Module):
    """y = x + g(x)."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return y, shaped as x."""
        y_BF: Tensor = x_BF + self.layers(x_BF)
        return y_BF

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        writer.module(self.layers, x)
        writer.add("Add", x)


class Embedded(nn.Module):
    """Layers behind embeddings of numbers, of categories, or of both."""

    def __init__(self, network: grammar.Network, layout: Layout, layers: nn.Sequential, dtype: torch.dtype) -> None:
        super().__init__()
        self.num_numbers, self.num_inputs = layout.num_numbers, layout.num_inputs
        self.numbers = _make_numbers(network.embeddings.numbers, layout.num_numbers, dtype)
        self.categories = _make_categories(network.embeddings.categories, layout, dtype)
        self.layers = layers

    def fit(self, x_BF: Tensor, y_B: Tensor, task: str) -> None:
        """Look at the training rows, where bins are to hold equally many of them."""
        if isinstance(self.numbers, PiecewiseNumbers):
            self.numbers.bins.fit(x_BF[:, : self.num_numbers], y_B, task)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return raw outputs (rows, K)."""
        numbers_BN, rest_BF = x_BF[:, : self.num_numbers], x_BF[:, self.num_numbers :]
        first = numbers_BN if self.numbers is None else self.numbers(numbers_BN).flatten(1)
        second = rest_BF if self.categories is None else self.categories(x_BF)
        out_BK: Tensor = self.layers(torch.cat([first, second], dim=1))
        return out_BK

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x, parts = writer.last, []
        if self.num_numbers:
            parts.append(writer.columns(x, range(self.num_numbers)))
            if self.numbers is not None:
                writer.module(self.numbers, writer.last)
                parts = [writer.add("Flatten", axis=1)]
        if self.categories is not None:
            parts.append(writer.module(self.categories, x))
        elif self.num_inputs > self.num_numbers:
            parts.append(writer.columns(x, range(self.num_numbers, self.num_inputs)))
        writer.module(self.layers, writer.concat(parts))


def build(network: grammar.Network, layout: Layout, num_outputs: int, dtype: torch.dtype) -> nn.Module:
    """Return the network. Raises: RuntimeError when it would not have the parameters that were counted.

    It is made without memory first, on torch's meta device, and counted there.
    """
    # On the meta device nothing is drawn that counts, but the generator would move on.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shape = _make(network, layout, num_outputs, dtype)
    found = sum(parameter.numel() for parameter in shape.parameters())
    counted = num_parameters(network, layout, num_outputs)
    if found != counted:
        raise RuntimeError(f"the network has {found:,} parameters, and {counted:,} were counted")
    return _make(network, layout, num_outputs, dtype)


def _make(network: grammar.Network, layout: Layout, num_outputs: int, dtype: torch.dtype) -> nn.Module:
    modules, width = _make_layers(network.layers, input_width(network, layout), dtype)
    layers = nn.Sequential(*modules, make_head(width, num_outputs, dtype))
    if network.embeddings.numbers is None and network.embeddings.categories is None:
        return layers
    return Embedded(network, layout, layers, dtype)


def _make_layers(declared: Sequence[Any], width: int, dtype: torch.dtype) -> tuple[list[nn.Module], int]:
    modules: list[nn.Module] = []
    for layer in declared:
        if isinstance(layer, grammar.Dense):
            linear = nn.Linear(width, layer.units, dtype=dtype)
            initialise(linear, layer.activation)
            width = layer.units
            modules += [linear, *between(width, layer.normalization, layer.activation, layer.dropout, dtype)]
        elif isinstance(layer, grammar.Residual):
            inside, width = _make_layers(layer.layers, width, dtype)
            modules.append(Residual(nn.Sequential(*inside)))
        else:
            modules.append(_make_layer(layer, width, dtype))
    return modules, width


def _make_layer(layer: Any, width: int, dtype: torch.dtype) -> nn.Module:
    if isinstance(layer, grammar.BatchNormalization):
        return nn.BatchNorm1d(width, dtype=dtype)
    if isinstance(layer, grammar.LayerNormalization):
        return nn.LayerNorm(width, dtype=dtype)
    if isinstance(layer, grammar.Dropout):
        return nn.Dropout(layer.rate)
    return make_activation(layer.function)


def _make_numbers(
    embedding: grammar.NumberEmbedding | None, num_numbers: int, dtype: torch.dtype
) -> PeriodicNumbers | PiecewiseNumbers | None:
    if embedding is None or not num_numbers:
        return None
    if isinstance(embedding, grammar.PeriodicEmbedding):
        return PeriodicNumbers(num_numbers, embedding.frequencies, embedding.scale, embedding.width, dtype)
    return PiecewiseNumbers(num_numbers, embedding.bins, embedding.width, dtype)


def _make_categories(
    embedding: grammar.CategoryEmbedding | None, layout: Layout, dtype: torch.dtype
) -> FlatCategories | None:
    if embedding is None or layout.num_inputs == layout.num_numbers:
        return None
    return FlatCategories(layout, 0, embedding.width, std=SLOT_STD, dtype=dtype)
