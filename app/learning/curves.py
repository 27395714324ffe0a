"""Curves of any length in few points, of the same resolution wherever one looks; imports no torch.

The first 1,024 values are points of their own; then a point covers 2 positions, from 2,048 on 4, and so on: never more
than 1/512 of all that came before it. Ten million steps are 8,000 points. A point holds the mean of what it covers and
its extremes, so no peak is lost. Where points lie depends on positions alone, not on time: a resumed training has the
curve of an undisturbed one. Source: ours. Deterministic: yes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FINEST = 1024


@dataclass(frozen=True, slots=True)
class Point:
    """What some positions up to `position` have in common: means, and extremes where there were several values."""

    position: int
    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]


@dataclass(slots=True)
class _Sum:
    """Values of one series in the making of a point."""

    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, values: Sequence[float]) -> None:
        self.count += len(values)
        self.total += sum(values)
        self.low, self.high = min(self.low, *values), max(self.high, *values)


@dataclass(slots=True)
class Curve:
    """Collects values at rising positions, counted from 1, and hands out points as they become complete."""

    _first: int | None = None
    _last: int = 0
    _sums: dict[str, _Sum] = field(default_factory=dict)

    def add(self, position: int, values: Mapping[str, float]) -> Point | None:
        """Take the values at a position; returns the point that it completes, if it does."""
        return self._add(position, position, {name: [value] for name, value in values.items()})

    def extend(self, name: str, start: int, values: Sequence[float]) -> list[Point]:
        """Take values of one series at `start`, `start` + 1, …; returns the points that they complete."""
        points, taken = [], 0
        while taken < len(values):
            first = start + taken
            last = min(start + len(values) - 1, -(-first // stride(first)) * stride(first))
            point = self._add(first, last, {name: values[taken : last + 1 - start]})
            points += [point] if point else []
            taken = last + 1 - start
        return points

    def rest(self) -> Point | None:
        """Hand out the point in the making, because nothing follows."""
        if self._first is None:
            return None
        several = {name: each for name, each in self._sums.items() if each.count > 1}
        point = Point(
            self._last,
            {name: each.total / each.count for name, each in self._sums.items()},
            {name: each.low for name, each in several.items()},
            {name: each.high for name, each in several.items()},
        )
        self._first, self._sums = None, {}
        return point if point.values else None

    def to_json(self) -> dict[str, Any]:
        """Return the point in the making, to go on with in another process."""
        return {"first": self._first, "last": self._last, "sums": {n: asdict(each) for n, each in self._sums.items()}}

    @classmethod
    def from_json(cls, state: Mapping[str, Any] | None) -> Curve:
        """Return the curve that `to_json` told, or one that begins."""
        if state is None:
            return cls()
        return cls(state["first"], state["last"], {name: _Sum(**each) for name, each in state["sums"].items()})

    def _add(self, first: int, last: int, values: Mapping[str, Sequence[float]]) -> Point | None:
        if self._first is None:
            self._first = first
        self._last = last
        for name, given in values.items():
            finite = [value for value in given if math.isfinite(value)]
            if finite:
                self._sums.setdefault(name, _Sum()).add(finite)
        is_complete = last // stride(last) > (self._first - 1) // stride(last)
        return self.rest() if is_complete else None


def stride(position: int) -> int:
    """Return how many positions a point covers there: 1 up to 1,024, 2 up to 2,048, 4 up to 4,096, …"""
    return 1 << ((position - 1) // FINEST).bit_length()
