"""How long the rest of a training takes, judged by the epochs it has done; imports no torch.

An epoch is measured whole: its steps, its validation, its checkpoints. Neighbouring epochs are put together to laps of
a tenth of a second or more, and the mean of the middle half of the last laps is the pace. Before the first lap has
ended the steps tell it, and validation is taken for a third of a step a row: a forward pass without the backward one.
Where epochs are not alike, as the networks of an ensemble are not, the mean since the first step is the pace.
Source: ours. Deterministic: a function of the times that it is told.
"""

from __future__ import annotations

from collections import deque

LAP_SECONDS = 0.1
NUM_LAPS = 32
FORWARD_SHARE = 1 / 3


class Pace:
    """Seconds an epoch takes; `validation_share` is the number of validation rows for each training row."""

    def __init__(self, validation_share: float, *, is_even: bool = True) -> None:
        self._is_even = is_even
        self._unseen_share = validation_share * FORWARD_SHARE
        self._laps: deque[float] = deque(maxlen=NUM_LAPS)
        self._lap_started: tuple[float, float] | None = None
        self._first: tuple[float, float] | None = None

    def step(self, now: float, epochs: float) -> None:
        """Tell that so many epochs are done, with a fraction for those steps that lead to the next one."""
        # What is told first is where measuring begins: the very first step takes longer than those after it.
        if self._first is None:
            self._first = now, epochs
            self._lap_started = self._lap_started or (now, epochs)

    def epoch(self, now: float, epochs: float) -> None:
        """Tell that an epoch has just ended."""
        if self._lap_started is None:
            self._lap_started = now, epochs
            return
        since, before = self._lap_started
        if now - since >= LAP_SECONDS and epochs > before:
            self._laps.append((now - since) / (epochs - before))
            self._lap_started = now, epochs

    def seconds_per_epoch(self, now: float, epochs: float) -> float | None:
        """Return the pace, or None while there is nothing to judge by."""
        if self._laps and self._is_even:
            laps = sorted(self._laps)
            cut = (len(laps) + 1) // 4
            kept = laps[cut : len(laps) - cut]
            return sum(kept) / len(kept)
        if self._first is None or epochs <= self._first[1]:
            return None
        mean = (now - self._first[0]) / (epochs - self._first[1])
        return mean * (1.0 + self._unseen_share) if self._is_even else mean
