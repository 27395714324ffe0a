"""From what was measured on a sample to what the whole training takes; imports no torch.

Every figure is an interval: its ends are the fastest and the slowest that were measured, widened by what such
measurements miss. Source: ours; the factors are those with which the benchmark sets fell inside. Deterministic: yes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

# A sample fits the cache better than the whole, and one that is timed alone is faster than one among others.
FASTER, SLOWER = 0.7, 1.6
# The start of a process and the storing of its files.
LEAST_EXTRA, MOST_EXTRA = 0.05, 1.0
# Compiling takes longer than an answer may, so steps are timed without it. This is what it can gain, and the seconds it
# takes, as its help says; none where it fails at once for want of a compiler, and the network is trained as it is.
COMPILED_AT_BEST, COMPILING_SECONDS = 0.4, 60.0


class Interval(NamedTuple):
    """From what is likely the least to what is likely the most."""

    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """Return both ends multiplied."""
        return Interval(self.low * factor, self.high * factor)

    def plus(self, other: Interval) -> Interval:
        """Return the sum."""
        return Interval(self.low + other.low, self.high + other.high)

    def to_json(self, digits: int = 3) -> dict[str, float]:
        """Return it as JSON."""
        return {"low": round(self.low, digits), "high": round(self.high, digits)}

    def to_bytes(self) -> dict[str, int]:
        """Return it as JSON with whole numbers."""
        return {"low": round(self.low), "high": round(self.high)}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a sample took: seconds of building the network, preparing, an epoch, measuring and exporting.

    `growth` is how many times as many rows the data set has, `is_compiled` whether the steps will be compiled, which
    those of the sample were not.
    """

    building: float
    preparing: float
    epoch: Interval
    closing: Interval
    growth: float
    is_compiled: bool = False

    def seconds(self, num_epochs: int) -> Interval:
        """Return what the whole training takes with so many epochs."""
        return self._around().plus(self.seconds_per_epoch().times(num_epochs))

    def seconds_per_epoch(self) -> Interval:
        """Return what an epoch of the whole takes."""
        faster = FASTER * COMPILED_AT_BEST if self.is_compiled else FASTER
        return Interval(self.epoch.low * faster, self.epoch.high * SLOWER).times(self.growth)

    def epochs_within(self, seconds: float) -> int:
        """Return how many epochs are sure to fit."""
        left = seconds - self._around().high
        return max(0, math.floor(left / max(1e-9, self.seconds_per_epoch().high)))

    def _around(self) -> Interval:
        # Part of what goes on around the epochs does not grow with the rows.
        low = (self.preparing + self.closing.low) * FASTER * max(1.0, self.growth / 4)
        high = (self.preparing + self.closing.high) * SLOWER * self.growth
        most_extra = MOST_EXTRA + (COMPILING_SECONDS if self.is_compiled else 0.0)
        return Interval(low + FASTER * self.building + LEAST_EXTRA, high + SLOWER * self.building + most_extra)


def epochs_of(params: Any, has_validation: bool) -> tuple[int, int]:
    """Return the fewest epochs after which a training can end by itself, and the most."""
    stopping = params.early_stopping if has_validation else None
    return (params.epochs if stopping is None else min(params.epochs, stopping.patience + 1)), params.epochs
