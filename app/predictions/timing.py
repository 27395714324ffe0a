"""Where the time of a prediction went, as the header Server-Timing (W3C) tells it."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

NAME = "server-timing"


def server_timing(parse: float, queue: float, compute: float, serialise: float) -> str:
    """The value of the header for these seconds; it is in milliseconds."""
    return (
        f"parse;dur={parse * 1e3:.3f}, queue;dur={queue * 1e3:.3f}, "
        f"compute;dur={compute * 1e3:.3f}, serialise;dur={serialise * 1e3:.3f}"
    )


class Stopwatch:
    """The times of one prediction: made when its body has come, then told when each stage has ended."""

    def __init__(self) -> None:
        self._times = [perf_counter()]

    def parsed(self) -> None:
        """The body is read."""
        self._times.append(perf_counter())

    def begun(self) -> None:
        """The model is found, and a thread, if it needs one."""
        self._times.append(perf_counter())

    def computed(self) -> None:
        """The predictions are there."""
        self._times.append(perf_counter())

    def drawn(self) -> str:
        """The answer is written; returns the value of the header."""
        self._times.append(perf_counter())
        return server_timing(*(end - start for start, end in pairwise(self._times)))
