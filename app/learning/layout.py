"""How the inputs of a network are laid out: numbers, then flags, then categories; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

# The encodings whose one input is the number of a slot.
INDICES = frozenset({"index", "levels"})


@dataclass(frozen=True, slots=True)
class Block:
    """The inputs of one column of categories, or of the values that a column of numbers repeats.

    `encoding` is one_hot (an input for every slot), ordinal (one input in [0, 1]), index (one input that holds the
    number of the slot counted from 1; 0 is what no training row had) or levels (the same for repeated numbers).
    """

    encoding: str
    num_slots: int

    @property
    def num_inputs(self) -> int:
        """How many inputs of the network it fills."""
        return self.num_slots if self.encoding == "one_hot" else 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The inputs x_BF of a network in their order: scaled numbers, flags that say 'was missing', categories, levels."""

    num_numbers: int
    num_flags: int = 0
    blocks: tuple[Block, ...] = ()

    @property
    def num_inputs(self) -> int:
        """The width F of x_BF."""
        return self.num_numbers + self.num_flags + sum(block.num_inputs for block in self.blocks)

    @property
    def places(self) -> list[tuple[int, Block]]:
        """The blocks, each with the position of its first input."""
        widths = [block.num_inputs for block in self.blocks]
        starts = accumulate(widths, initial=self.num_numbers + self.num_flags)
        return list(zip(starts, self.blocks, strict=False))

    @property
    def indexed(self) -> dict[int, int]:
        """The positions of inputs that hold the number of a slot, with how many slots there are."""
        return {position: block.num_slots for position, block in self.places if block.encoding in INDICES}
