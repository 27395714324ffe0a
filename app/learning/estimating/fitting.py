"""The largest setting that fits into a limit of memory: of the batch, of the layers, of the rows; each alone.

Deterministic: given the memory of the rows, yes. Source: bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from app.learning.errors import Problem
from app.learning.estimating.footprint import Footprint
from app.learning.estimating.forecast import Interval
from app.learning.plan import Plan
from app.learning.spec import TrainingParams

SHARES = 256
# Memory comes in pieces, and what is freed is not always given back.
LESS, MORE = 0.6, 1.3
SURE = 1.15
# A heap from which tensors come and go is soon in pieces: so many times what they are has been seen to be taken.
IN_PIECES = 2.2
# Columns and their copies as they are read, taken, filled in and scaled; then inputs, shuffled and kept.
CELL_BYTES, INPUT_BYTES = 56, 12


@dataclass(frozen=True, slots=True)
class RowsMemory:
    """What reading and preparing rows takes: bytes at any number of rows, and for each of them."""

    fixed_bytes: int
    row_bytes: int

    @classmethod
    def measured(cls, plan: Plan, num_rows: int, peak_bytes: int) -> RowsMemory:
        """Return it for a plan whose sample of so many rows took so much."""
        num_columns = 1 + sum(item.policy is not None for item in plan.treatments)
        row_bytes = CELL_BYTES * num_columns + INPUT_BYTES * plan.layout.num_inputs
        return cls(max(0, round(peak_bytes - LESS * row_bytes * num_rows)), row_bytes)

    def needed(self, num_rows: int) -> Interval:
        """Return the bytes for so many rows."""
        return Interval(LESS, MORE).times(self.row_bytes * num_rows).plus(Interval(self.fixed_bytes, self.fixed_bytes))

    def problems(self, num_rows: int, limit_bytes: int, *, beside: float = 0.0) -> list[Problem]:
        """Return that so many rows and what is `beside` them do not fit, and how many rows would."""
        needed = round(self.needed(num_rows).high + beside)
        found: list[Problem] = [
            {"pointer": "/limits/memory_bytes", "detail": f"{needed} bytes are needed; {limit_bytes} are allowed."}
        ]
        fitting = int((limit_bytes - self.fixed_bytes - beside) / (MORE * self.row_bytes))
        if 1 < fitting < num_rows:
            found.append({"pointer": "/dataset", "detail": f"With these parameters at most {fitting} rows fit."})
        return found


def largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that fits, 0 for none; what fits is taken to fit when smaller, too."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def narrowed(widths: list[int], share: int) -> list[int]:
    """Return the widths of layers at a share, in 1/256, of what they are."""
    return [max(1, width * share // SHARES) for width in widths]


@dataclass(frozen=True, slots=True)
class Room:
    """A training that shall fit into `limit_bytes`."""

    plan: Plan
    params: TrainingParams
    batch_size: int
    num_rows: int
    rows: RowsMemory
    limit_bytes: int

    def network_bytes(self, params: TrainingParams, batch_size: int) -> float:
        """Return what the network takes at its peak, on the safe side."""
        plan = replace(self.plan, params=params)
        num_validation = round(self.num_rows * plan.split.validation)
        return IN_PIECES * Footprint(plan, params, plan.layout).peak_bytes(batch_size, num_validation)

    def is_exceeded(self) -> bool:
        """Return whether the network alone, and the least that rows take, are too much."""
        least = self.network_bytes(self.params, self.batch_size) / IN_PIECES + self.rows.needed(self.num_rows).low
        return least > self.limit_bytes

    def problems(self) -> list[Problem]:
        """Return what is too large, each with the largest that fits while all else stays."""
        network = self.network_bytes(self.params, self.batch_size)
        settings: list[Problem] = [
            {"pointer": f"/params/{name}", "detail": f"At most {value} fits."} for name, value in self.fitting().items()
        ]
        return [*self.rows.problems(self.num_rows, self.limit_bytes, beside=network), *settings]

    def fitting(self) -> dict[str, Any]:
        """Return the largest batch and the widest layers that fit, each while all else stays."""
        room_bytes = self.limit_bytes - self.rows.needed(self.num_rows).high
        found: dict[str, Any] = {}
        if self.params.optimizer != "gd":
            batch = largest(self.batch_size - 1, lambda size: self.network_bytes(self.params, size) <= room_bytes)
            found |= {"batch_size": batch} if batch else {}
        widths: Any = getattr(self.params, "hidden", None)
        if isinstance(widths, list) and widths:
            share = largest(SHARES - 1, lambda share: self._fits(narrowed(widths, share), room_bytes))
            found |= {"hidden": narrowed(widths, share)} if share else {}
        return found

    def _fits(self, widths: list[int], room_bytes: float) -> bool:
        return self.network_bytes(self.params.model_copy(update={"hidden": widths}), self.batch_size) <= room_bytes
