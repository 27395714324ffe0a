"""Axes of charts: from values to pixels, and the round numbers to write beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

TICKS_WANTED = 5
LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from `low` to `high`, drawn between the pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, log: bool = False) -> Axis:
        """The axis that shows all values that can be drawn; without any, one from 0 to 1 (log: 1 to 10)."""
        shown = [value for value in values if is_drawable(value, log=log)]
        low, high = (min(shown), max(shown)) if shown else (1.0, 10.0) if log else (0.0, 1.0)
        if log:
            low, high = (low, high) if high > low * 1.001 else (low / 2, high * 2)
            return cls(low, high, start, end, log=True)
        if high - low <= 1e-9 * max(abs(low), abs(high), 1e-200):
            middle, half = low, max(abs(low) * 0.05, 0.5)
            return cls(middle - half, middle + half, start, end)
        return cls(low, high, start, end)

    def place(self, value: float) -> float:
        """The pixel of a value."""
        if self.log:
            share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers within the scale: multiples of 1, 2 or 5 times a power of ten, or powers of ten."""
        if self.log:
            return _log_ticks(self.low, self.high)
        step = _round_step((self.high - self.low) / TICKS_WANTED)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def is_drawable(value: float | None, *, log: bool = False) -> bool:
    """Whether a value has a place on some axis: a finite number, above zero on a logarithmic one."""
    return value is not None and math.isfinite(value) and abs(value) < LARGEST and (value > 1 / LARGEST or not log)


def write(value: float) -> str:
    """A number as short as an axis wants it."""
    text = f"{value:.10g}"
    return text if len(text) <= 7 else f"{value:.4g}"


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, (last - first) // TICKS_WANTED)
    factors = (1, 2, 5) if high <= 200 * low else (1,)
    found = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    return [value for value in found if low * 0.999 <= value <= high * 1.001]
