"""Flags and categories as a network sees them: as they are, one-hot, or learned vectors.

Shapes: x_BF inputs as the layout says, E columns with vectors of width D. Deterministic: a function of torch's global
generator. Source: learned vectors of categories, Guo and Berkhahn, arXiv 1604.06737.
"""

from __future__ import annotations

import torch
from onnx import TensorProto
from torch import Tensor, nn

from app.learning.embedded import embedded_slots, flat_sources
from app.learning.graph import Writer
from app.learning.layout import Layout


class SlotVectors(nn.Module):
    """A learned vector for every slot of some columns; for what no training row had, zeros.

    Initial weights: normal with this standard deviation.
    """

    position_E: Tensor
    offset_E: Tensor

    def __init__(self, slots: dict[int, int], width: int, *, std: float, dtype: torch.dtype) -> None:
        super().__init__()
        counts = list(slots.values())
        # Row 0 of the one table is the zero vector of all columns, and their own slots count from 1.
        offsets = [sum(counts[:index]) for index in range(len(counts))]
        self.register_buffer("position_E", torch.tensor(list(slots)), persistent=False)
        self.register_buffer("offset_E", torch.tensor(offsets), persistent=False)
        self.table = nn.Embedding(1 + sum(counts), width, padding_idx=0, dtype=dtype)
        nn.init.normal_(self.table.weight, std=std)
        with torch.no_grad():
            self.table.weight[0] = 0.0

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return the vectors (rows, E, D)."""
        slot_BE = x_BF[:, self.position_E].long()
        vectors: Tensor = self.table(torch.where(slot_BE > 0, slot_BE + self.offset_E, 0))
        return vectors

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        writer.columns(writer.last, self.position_E.tolist())
        slot = writer.add("Cast", to=TensorProto.INT64)
        row = writer.add("Add", writer.weight(self.offset_E))
        zero = writer.weight(torch.tensor(0))
        writer.last = slot
        writer.add("Greater", zero)
        index = writer.add("Where", row, zero)
        writer.last = writer.weight(self.table.weight)
        writer.add("Gather", index, axis=0)


class FlatCategories(nn.Module):
    """All flags and categories side by side: one-hot up to `max_one_hot` slots, vectors of this width beyond."""

    position_C: Tensor
    slot_C: Tensor

    def __init__(self, layout: Layout, max_one_hot: int, width: int, *, std: float, dtype: torch.dtype) -> None:
        super().__init__()
        sources = torch.tensor(flat_sources(layout, max_one_hot), dtype=torch.long).reshape(-1, 2)
        self.register_buffer("position_C", sources[:, 0], persistent=False)
        self.register_buffer("slot_C", sources[:, 1].to(dtype), persistent=False)
        slots = embedded_slots(layout, max_one_hot)
        self.vectors = SlotVectors(slots, width, std=std, dtype=dtype) if slots else None

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return the values (rows, category_width)."""
        x_BC = x_BF[:, self.position_C]
        flat_BC = torch.where(self.slot_C > 0, (x_BC == self.slot_C).to(x_BC.dtype), x_BC)
        return flat_BC if self.vectors is None else torch.cat([flat_BC, self.vectors(x_BF).flatten(1)], dim=1)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        flat = writer.columns(x, self.position_C.tolist())
        writer.add("Equal", writer.weight(self.slot_C))
        is_slot = writer.add("Cast", to=TensorProto.FLOAT)
        writer.last = writer.weight(self.slot_C > 0)
        flat = writer.add("Where", is_slot, flat)
        if self.vectors is not None:
            writer.module(self.vectors, x)
            writer.concat([flat, writer.add("Flatten", axis=1)])
