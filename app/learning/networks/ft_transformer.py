"""The network of FT-Transformer: every column becomes a token, and attention mixes the tokens.

Shapes: x_BF inputs, T tokens of width D (one for the answer, first), K outputs. Deterministic: a function of torch's
global generator. Source: Gorishniy, Rubachev, Khrulkov and Babenko, arXiv 2106.11959, with the blocks of their package
rtdl_revisiting_models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from rtdl_revisiting_models import FTTransformerBackbone, LinearEmbeddings
from torch import Tensor, nn

from app.learning.graph import Writer
from app.learning.layout import Layout
from app.learning.networks.attention import write_blocks
from app.learning.networks.categories import SlotVectors
from app.learning.networks.numbers import PiecewiseLinear, make_numbers


class FTTransformer(nn.Module):
    """Tokens of the answer, of numbers, of flags and ordinal categories, and of the other categories; then blocks."""

    slots_FC: Tensor
    value_V: Tensor

    def __init__(self, layout: Layout, num_outputs: int, params: Any, dtype: torch.dtype) -> None:
        super().__init__()
        width, std = params.width, params.width**-0.5
        self.num_numbers = layout.num_numbers
        self.answer_D = nn.Parameter(torch.empty(width, dtype=dtype).uniform_(-std, std))
        embeds = layout.num_numbers and params.number_embedding != "none"
        self.numbers = make_numbers(layout.num_numbers, params, width, dtype) if embeds else None
        values = value_positions(layout, embeds=bool(embeds))
        self.register_buffer("value_V", torch.tensor(values, dtype=torch.long), persistent=False)
        self.values = LinearEmbeddings(len(values), width).to(dtype) if values else None
        counts = [block.num_slots for _, block in categories(layout)]
        self.register_buffer("slots_FC", slot_matrix(layout, dtype), persistent=False)
        self.vectors = SlotVectors(dict(enumerate(counts)), width, std=std, dtype=dtype) if counts else None
        self.bias_CD = nn.Parameter(torch.empty(len(counts), width, dtype=dtype).uniform_(-std, std))
        self.blocks = FTTransformerBackbone(
            d_out=num_outputs, n_blocks=params.num_blocks, d_block=width, attention_n_heads=params.num_heads,
            attention_dropout=params.attention_dropout, ffn_d_hidden=params.hidden_width, ffn_d_hidden_multiplier=None,
            ffn_dropout=params.dropout, residual_dropout=params.residual_dropout,
        ).to(dtype)  # fmt: skip

    def fit(self, x_BF: Tensor, y_B: Tensor, task: str) -> None:
        """Let the embedding of numbers see the training rows, if it wants to."""
        if isinstance(self.numbers, PiecewiseLinear):
            self.numbers.fit(x_BF[:, : self.num_numbers], y_B, task)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return raw outputs (rows, K)."""
        tokens = [self.answer_D.expand(len(x_BF), 1, -1)]
        if self.numbers is not None:
            tokens.append(self.numbers(x_BF[:, : self.num_numbers]))
        if self.values is not None:
            tokens.append(self.values(x_BF[:, self.value_V]))
        if self.vectors is not None:
            tokens.append(self.vectors(x_BF @ self.slots_FC) + self.bias_CD)
        out_BK: Tensor = self.blocks(torch.cat(tokens, dim=1))
        return out_BK

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        tokens = [self._write_answer(writer, x)]
        if self.numbers is not None:
            tokens.append(writer.module(self.numbers, writer.columns(x, range(self.num_numbers))))
        if self.values is not None:
            writer.columns(x, self.value_V.tolist())
            writer.add("Unsqueeze", writer.weight(torch.tensor([2])))
            writer.add("Mul", writer.weight(self.values.weight))
            tokens.append(writer.add("Add", writer.weight(self.values.bias)))
        if self.vectors is not None:
            writer.last = x
            writer.module(self.vectors, writer.add("MatMul", writer.weight(self.slots_FC)))
            tokens.append(writer.add("Add", writer.weight(self.bias_CD)))
        writer.concat(tokens)
        write_blocks(writer, self.blocks)

    def _write_answer(self, writer: Writer, x: str) -> str:
        """Write the answer's token once for each row, by adding it to nothing."""
        writer.columns(x, (0,))
        writer.add("Mul", writer.weight(torch.tensor(0.0)))
        writer.add("Unsqueeze", writer.weight(torch.tensor([2])))
        return writer.add("Add", writer.weight(self.answer_D))

    def parameter_groups(self, weight_decay: float) -> Sequence[dict[str, Any]]:
        """Return the groups: only the matrices of the blocks decay, as in the paper."""
        decaying = [p for p in self.blocks.parameters() if p.ndim > 1]
        chosen = {id(p) for p in decaying}
        others = [p for p in self.parameters() if id(p) not in chosen]
        return [
            {"params": decaying, "weight_decay": weight_decay, "rate_factor": 1.0},
            {"params": others, "weight_decay": 0.0, "rate_factor": 1.0},
        ]


def categories(layout: Layout) -> list[tuple[int, Any]]:
    """Return the blocks whose slots get vectors, with their positions."""
    return [(position, block) for position, block in layout.places if block.encoding != "ordinal"]


def value_positions(layout: Layout, *, embeds: bool) -> list[int]:
    """Return the positions of inputs that become tokens by a line: numbers, unless embedded, flags, ordinal ones."""
    ordinal = [position for position, block in layout.places if block.encoding == "ordinal"]
    return [*range(layout.num_numbers if embeds else 0, layout.num_numbers + layout.num_flags), *ordinal]


def slot_matrix(layout: Layout, dtype: torch.dtype) -> Tensor:
    """Return the matrix (F, C) that turns inputs into numbers of slots, whether these were one-hot or indices."""
    chosen = categories(layout)
    matrix_FC = torch.zeros(layout.num_inputs, len(chosen), dtype=dtype)
    for column, (position, block) in enumerate(chosen):
        ends = position + block.num_inputs
        matrix_FC[position:ends, column] = torch.arange(1, block.num_inputs + 1, dtype=dtype)
    return matrix_FC
