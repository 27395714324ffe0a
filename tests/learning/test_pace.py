"""The pace of a training: right within 20% after a tenth of it, whatever is odd about its beginning."""

from __future__ import annotations

import numpy as np
import pytest

from app.learning.pace import Pace

NUM_EPOCHS = 40
STEPS = 20


def left_after(share: float, seconds: dict[str, float], *, num_epochs: int = NUM_EPOCHS, jitter: float = 0.0) -> float:
    """The estimate over the truth, after a share of a training whose steps and validations take so many seconds."""
    rng, now = np.random.default_rng(0), 0.0
    pace = Pace(0.3)
    told: list[tuple[float, float]] = []
    for epoch in range(num_epochs):
        for step in range(STEPS):
            done = epoch + step / STEPS
            if epoch or step:
                pace.step(now, done)
            per_epoch = pace.seconds_per_epoch(now, done)
            if per_epoch is not None:
                told.append((now, per_epoch * (num_epochs - done)))
            first = seconds.get("first", 0.0) if epoch == step == 0 else 0.0
            now += (seconds["step"] + first) * float(rng.lognormal(0, jitter))
        now += seconds["validation"] + (seconds.get("stall", 0.0) if epoch == 2 else 0.0)
        pace.epoch(now, epoch + 1)
    at = next(i for i, (moment, _) in enumerate(told) if moment >= share * now)
    return told[at][1] / (now - told[at][0])


ODD = {
    "steady": {"step": 0.01, "validation": 0.05},
    "a slow first step": {"step": 0.01, "validation": 0.05, "first": 0.6},
    "costly validation": {"step": 0.01, "validation": 0.4},
    "tiny epochs": {"step": 1e-4, "validation": 5e-4},
    "long epochs": {"step": 3.0, "validation": 15.0},
    "a stall": {"step": 0.05, "validation": 0.2, "stall": 3.0},
}


@pytest.mark.parametrize("seconds", ODD.values(), ids=ODD)
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_after_a_tenth_the_estimate_is_right_within_a_fifth(seconds: dict[str, float], jitter: float) -> None:
    assert left_after(0.1, seconds, jitter=jitter) == pytest.approx(1.0, abs=0.2)


def test_within_the_first_epoch_validation_is_allowed_for() -> None:
    # A third of a step a row, for three validation rows to ten training rows.
    seconds = {"step": 0.5, "validation": STEPS * 0.5 * 0.3 / 3}
    assert left_after(0.1, seconds, num_epochs=2) == pytest.approx(1.0, abs=0.1)


def test_the_last_laps_count_not_those_long_ago() -> None:
    pace = Pace(0.0)
    for epoch in range(200):
        pace.epoch(epoch * 0.2 if epoch < 100 else 20 + (epoch - 100) * 1.0, epoch)
    assert pace.seconds_per_epoch(0.0, 200) == pytest.approx(1.0)


def test_nothing_is_said_before_there_is_something_to_judge_by() -> None:
    pace = Pace(0.3)
    assert pace.seconds_per_epoch(1.0, 0.0) is None
    pace.step(1.0, 0.05)
    assert pace.seconds_per_epoch(2.0, 0.05) is None
    assert pace.seconds_per_epoch(2.0, 0.10) == pytest.approx(1.0 / 0.05 * 1.1)


def test_the_mean_is_the_pace_where_epochs_are_not_alike() -> None:
    lengths = [0.2, 0.2, 0.2, 9.0, 0.2] * 8
    now, told = 0.0, {}
    even, uneven = Pace(0.3), Pace(0.3, is_even=False)
    for epoch, seconds in enumerate(lengths):
        for pace in (even, uneven):
            pace.step(now, epoch)
        now += seconds
        for pace in (even, uneven):
            pace.epoch(now, epoch + 1)
        told[epoch + 1] = [
            (pace.seconds_per_epoch(now, epoch + 1) or 0) * (len(lengths) - epoch - 1) for pace in (even, uneven)
        ]
    left = sum(lengths[10:])
    assert told[10][0] < 0.3 * left
    assert told[10][1] == pytest.approx(left, rel=0.01)
