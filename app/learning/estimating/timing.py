"""Real steps and epochs of a sample, timed. Deterministic: no."""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median

import torch

from app.learning.estimating.forecast import Interval
from app.learning.loop import Training

MOST_EPOCHS = 12
PROBED_ROWS = 32
# A forward pass without the backward one.
FORWARD_SHARE = 1 / 3


class Stopwatch:
    """Lets a training run until its time is up, and keeps the times of its steps and epochs."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._epochs: list[float] = []
        self._steps: list[list[float]] = []

    def poll(self, training: Training) -> str | None:
        """Take the time before a step."""
        now = time.monotonic()
        if training.progress.step_in_epoch == 0:
            self._epochs.append(now)
            self._steps.append([])
        self._steps[-1].append(now)
        # Two steps at least, or there is nothing to judge by.
        is_up = now >= self._until and training.step >= 2
        return "timed" if is_up or len(self._epochs) > MOST_EPOCHS else None

    def epoch(self, training: Training) -> Interval:
        """Return the seconds of an epoch, as the fastest and the slowest were; the first is left out if it can be."""
        epochs = [end - start for start, end in pairwise(self._epochs)]
        kept = epochs[1:] or epochs
        if kept:
            return Interval(min(kept), max(kept)) if len(kept) < MOST_EPOCHS / 2 else _middle(kept)
        steps = [end - start for times in self._steps for start, end in pairwise(times)]
        step = median(steps[1:] or steps)
        share = len(training.validation) / len(training.train) if training.validation else 0.0
        seconds = step * training.steps_per_epoch * (1 + FORWARD_SHARE * share)
        return Interval(seconds, seconds)


def _middle(seconds: list[float]) -> Interval:
    ordered = sorted(seconds)
    cut = len(ordered) // 6
    return Interval(ordered[cut], ordered[-1 - cut])


def seconds_per_row(training: Training) -> float:
    """Return what a row of a step takes, judged by a few rows: more than in a large batch."""
    rows = training.train.part(0, min(PROBED_ROWS, len(training.train)))
    for _ in range(2):
        started = time.monotonic()
        training.loss(training.network(rows.x_BF), rows.y_B, rows.w_B).backward()  # type: ignore[no-untyped-call]
    training.network.zero_grad(set_to_none=True)
    return (time.monotonic() - started) / len(rows)


def time_epochs(training: Training, seconds: float) -> Interval:
    """Train for so long, two steps at least; returns what an epoch takes."""
    state = torch.get_rng_state()
    watch = Stopwatch(seconds)
    training.run(watch.poll, lambda now: None)
    torch.set_rng_state(state)
    return watch.epoch(training)
