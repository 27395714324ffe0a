"""Which inputs a member of an ensemble gets as they are, and of which it gets statistics; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from app.learning.layout import INDICES, Layout

# Up to so many slots an embedding can be learned for each; where there are more, only the statistics speak.
MAX_EMBEDDED_SLOTS = 64
# The statistics of few slots tell nothing that the slots do not, but which rows are missing from them.
FEW_SLOTS = 9
MAX_STATISTICS = 96
# Of more classes only the most frequent have statistics.
MAX_CLASSES = 8


@dataclass(frozen=True, slots=True)
class Looks:
    """Which columns of x_BF a member gets as they are, and of which it gets statistics."""

    kept: tuple[int, ...]
    looked_up: tuple[tuple[int, int], ...]
    layout: Layout


def look_at(layout: Layout, num_targets: int, *, levels: bool) -> Looks:
    """Decide what a member gets of these inputs; with `levels` statistics of repeated numbers as well.

    Categories of few slots are kept as they are; of those with too many to be told apart one by one there are
    statistics. With `levels` there are statistics of all that have more than a few slots. No more than MAX_STATISTICS
    inputs come of it: columns with many slots go first.
    """
    plain, looked_up, embedded = list(range(layout.num_numbers + layout.num_flags)), [], []
    for position, block in layout.places:
        if block.encoding not in INDICES:
            plain += range(position, position + block.num_inputs)
            continue
        is_category = block.encoding == "index"
        if is_category and block.num_slots <= MAX_EMBEDDED_SLOTS:
            embedded.append((position, block))
        if block.num_slots > (FEW_SLOTS if levels else MAX_EMBEDDED_SLOTS) and (is_category or levels):
            looked_up.append((position, block.num_slots))
    most = MAX_STATISTICS // (num_targets + 1)
    chosen = tuple(sorted(sorted(looked_up, key=lambda item: -item[1])[:most]))
    num_numbers = layout.num_numbers + len(chosen) * (num_targets + 1)
    seen = Layout(num_numbers, len(plain) - layout.num_numbers, tuple(block for _, block in embedded))
    return Looks((*plain, *(position for position, _ in embedded)), chosen, seen)
