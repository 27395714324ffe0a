"""How the inputs of a network are laid out: numbers, then flags, then categories; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """The inputs of one column of categories.

    `encoding` is one_hot (an input for every slot), ordinal (one input in [0, 1]) or index (one input that holds
    the number of the slot counted from 1; 0 is what no training row had).
    """

    encoding: str
    num_slots: int

    @property
    def num_inputs(self) -> int:
        """How many inputs of the network it fills."""
        return self.num_slots if self.encoding == "one_hot" else 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The inputs x_BF of a network in their order: scaled numbers, flags that say 'was missing', categories."""

    num_numbers: int
    num_flags: int = 0
    blocks: tuple[Block, ...] = ()

    @property
    def num_inputs(self) -> int:
        """The width F of x_BF."""
        return self.num_numbers + self.num_flags + sum(block.num_inputs for block in self.blocks)

    @property
    def indexed(self) -> dict[int, int]:
        """The positions of inputs that hold the number of a slot, with how many slots there are."""
        found, position = {}, self.num_numbers + self.num_flags
        for block in self.blocks:
            if block.encoding == "index":
                found[position] = block.num_slots
            position += block.num_inputs
        return found
