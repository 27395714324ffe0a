"""The network of the ResNet for tables: blocks of normalisation and two layers beside a way around them.

Shapes: x_BF inputs, K outputs. Deterministic: a function of torch's global generator.
Source: Gorishniy, Rubachev, Khrulkov and Babenko, arXiv 2106.11959, in their package rtdl_revisiting_models.
"""

from __future__ import annotations

from typing import Any

import torch
from rtdl_revisiting_models import ResNet as Blocks
from torch import Tensor, nn

from app.learning.embedded import category_width
from app.learning.graph import Writer
from app.learning.layout import Layout
from app.learning.networks.categories import FlatCategories
from app.learning.networks.numbers import FlatInputs
from app.learning.number_embeddings import width_of_number


class ResNet(nn.Module):
    """Embedded inputs, a first layer, blocks, and a last layer."""

    def __init__(self, layout: Layout, num_outputs: int, params: Any, dtype: torch.dtype) -> None:
        super().__init__()
        std = params.category_width**-0.5
        categories = FlatCategories(layout, params.max_one_hot, params.category_width, std=std, dtype=dtype)
        width = width_of_number(params)
        self.inputs = FlatInputs(layout.num_numbers, params, width, categories, dtype)
        self.blocks = Blocks(
            d_in=layout.num_numbers * width + category_width(layout, params.max_one_hot, params.category_width),
            d_out=num_outputs, n_blocks=params.num_blocks, d_block=params.width, d_hidden=params.hidden_width,
            d_hidden_multiplier=None, dropout1=params.dropout, dropout2=params.residual_dropout,
        ).to(dtype)  # fmt: skip

    def fit(self, x_BF: Tensor, y_B: Tensor, task: str) -> None:
        """Let the embeddings see the training rows."""
        self.inputs.fit(x_BF, y_B, task)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return raw outputs (rows, K)."""
        out_BK: Tensor = self.blocks(self.inputs(x_BF))
        return out_BK

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.module(self.inputs, writer.last)
        h = writer.module(self.blocks.input_projection, writer.last)
        for block in self.blocks.blocks:
            writer.module(block, h)
            h = writer.add("Add", h)
        writer.module(self.blocks.output, h)
