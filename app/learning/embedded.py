"""How specs with embeddings see flags and categories: the arithmetic of it; imports no torch.

Flags and what is already one-hot or ordinal stay as they are. A number of a slot becomes one-hot where there are few
slots, else a learned vector; what no training row had is all zeros in both.
"""

from __future__ import annotations

from app.learning.layout import Layout


def embedded_slots(layout: Layout, max_one_hot: int) -> dict[int, int]:
    """Return the positions in x_BF of the columns that get learned vectors, with how many slots each has."""
    return {position: slots for position, slots in layout.indexed.items() if slots > max_one_hot}


def flat_sources(layout: Layout, max_one_hot: int) -> list[tuple[int, int]]:
    """Return for each input that is no number and no vector its position in x_BF, and its slot (0: taken as it is)."""
    sources: list[tuple[int, int]] = []
    for position in range(layout.num_numbers, layout.num_inputs):
        slots = layout.indexed.get(position)
        if slots is None:
            sources.append((position, 0))
        elif slots <= max_one_hot:
            sources += [(position, slot) for slot in range(1, slots + 1)]
    return sources


def category_width(layout: Layout, max_one_hot: int, width: int) -> int:
    """Return how many values flags and categories become, with vectors of this width."""
    return len(flat_sources(layout, max_one_hot)) + width * len(embedded_slots(layout, max_one_hot))


def table_parameters(layout: Layout, max_one_hot: int, width: int) -> int:
    """Return the number of weights of the vectors: one for each slot, and the zero vector."""
    slots = embedded_slots(layout, max_one_hot).values()
    return (1 + sum(slots)) * width if slots else 0
