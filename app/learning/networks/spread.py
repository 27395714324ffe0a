"""The inputs of a linear model: numbers standardised, and an input for each of the frequent slots of a column.

Shapes: x_BF inputs as laid out in layout.py, z_BL the same spread out. Deterministic: draws nothing.
"""

from __future__ import annotations

import torch
from onnx import TensorProto
from torch import Tensor, nn

from app.learning.graph import Writer
from app.learning.layout import Layout

# Of a column that holds numbers of slots, the most frequent ones get an input each.
MOST_SLOTS = 100


class Spread(nn.Module):
    """z_BL of x_BF; `slots` are those that get an input, by the position of their column."""

    center_N: Tensor
    scale_N: Tensor

    def __init__(self, layout: Layout, slots: dict[int, Tensor]) -> None:
        super().__init__()
        self.register_buffer("center_N", torch.zeros(layout.num_numbers))
        self.register_buffer("scale_N", torch.ones(layout.num_numbers))
        self.num_numbers = layout.num_numbers
        self.plain = [place for place in range(layout.num_numbers, layout.num_inputs) if place not in layout.indexed]
        self.places = spread_places(layout)
        for place in self.places:
            self.register_buffer(f"slots_{place}", slots[place])
        self.width = self.num_numbers + len(self.plain) + sum(map(len, slots.values()))

    @classmethod
    def fit(cls, layout: Layout, x_BF: Tensor) -> Spread:
        """Return what standardises these numbers and spreads their frequent slots."""
        spread = cls(layout, {place: _frequent(x_BF[:, place]) for place in spread_places(layout)})
        numbers_BN = x_BF[:, : layout.num_numbers].double()
        deviation_N = numbers_BN.std(dim=0, correction=0)
        spread.center_N.copy_(numbers_BN.mean(dim=0))
        spread.scale_N.copy_(torch.where(deviation_N > 0, deviation_N, 1.0))
        return spread

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return z_BL for x_BF."""
        numbers_BN = (x_BF[:, : self.num_numbers] - self.center_N) / self.scale_N
        spread = [(x_BF[:, place, None] == self.get_buffer(f"slots_{place}")).float() for place in self.places]
        return torch.cat([numbers_BN, x_BF[:, self.plain], *spread], dim=1)

    def write(self, writer: Writer) -> None:
        """Add the same to a graph."""
        x = writer.last
        centered = writer.apply("Sub", writer.columns(x, range(self.num_numbers)), writer.weight(self.center_N))
        parts = [writer.apply("Div", centered, writer.weight(self.scale_N)), writer.columns(x, self.plain)]
        for place in self.places:
            is_slot = writer.apply(
                "Equal", writer.columns(x, [place]), writer.weight(self.get_buffer(f"slots_{place}"))
            )
            parts.append(writer.apply("Cast", is_slot, to=TensorProto.FLOAT))
        writer.concat(parts)


def spread_places(layout: Layout) -> list[int]:
    """Return the positions of the columns that are spread: categories, not numbers that are there as numbers, too."""
    return [position for position, block in layout.places if block.encoding == "index"]


def _frequent(slots_B: Tensor) -> Tensor:
    counts = torch.bincount(slots_B.long())
    order = torch.argsort(counts, descending=True, stable=True)[:MOST_SLOTS]
    return order[counts[order] > 0].float()
