"""Learning rates at the steps where a schedule shows its shape."""

from __future__ import annotations

from typing import Any

import pytest

from app.learning.schedules import learning_rate, regularization_share
from app.learning.spec import TrainingParams


def rates(num_epochs: int, steps_per_epoch: int, **params: Any) -> list[float]:
    """Return the rate of every step for a top rate of 1."""
    checked = TrainingParams.model_validate({"epochs": num_epochs, "learning_rate": 1.0, **params})
    return [learning_rate(checked, step, steps_per_epoch, 1.0) for step in range(num_epochs * steps_per_epoch)]


def test_a_constant_rate_is_constant() -> None:
    assert rates(3, 2, schedule="constant", warmup_epochs=0.0) == [1.0] * 6


def test_a_step_schedule_drops_after_its_epochs() -> None:
    found = rates(6, 2, schedule="step", warmup_epochs=0.0, decay_epochs=2, decay_factor=0.1)
    assert found == pytest.approx([1.0] * 4 + [0.1] * 4 + [0.01] * 4)


def test_a_warm_up_rises_linearly_and_reaches_the_top_with_its_last_step() -> None:
    found = rates(10, 4, schedule="constant", warmup_epochs=1.0)
    assert found[:6] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_a_cosine_falls_from_the_top_through_the_half_to_almost_nothing() -> None:
    found = rates(100, 1, schedule="cosine", warmup_epochs=0.0)
    assert (found[0], found[50]) == pytest.approx((1.0, 0.5))
    assert 0 < found[-1] < 0.001
    assert found == sorted(found, reverse=True)


def test_one_cycle_rises_for_a_third_and_falls_below_where_it_began() -> None:
    found = rates(100, 1, schedule="one_cycle")
    assert (found[0], found[30]) == pytest.approx((0.04, 1.0))
    assert found.index(max(found)) == 30
    assert 0 < found[-1] < 0.01


def test_the_plateau_factor_multiplies_the_rate() -> None:
    params = TrainingParams.model_validate({"schedule": "plateau", "learning_rate": 0.2, "warmup_epochs": 0.0})
    assert learning_rate(params, 7, 3, 0.25) == pytest.approx(0.05)


def test_coslog4_rises_from_nothing_to_the_top_in_four_waves_each_twice_as_long() -> None:
    found = rates(1500, 1, schedule="coslog4")
    assert found[0] == 0.0
    # Wave k begins and ends where log2(1 + 15 t) is whole, at t = (2^k - 1) / 15, and is highest half way in that.
    assert [found[100], found[300], found[700]] == pytest.approx([0.0] * 3, abs=1e-4)
    tops = [found[round(100 * (2 ** (wave + 0.5) - 1))] for wave in range(4)]
    assert tops == pytest.approx([1.0] * 4, abs=1e-3)


def test_regularization_stays_for_half_of_the_training_and_then_falls_to_nothing() -> None:
    params = TrainingParams.model_validate({"regularization_schedule": "flat_cosine"})
    shares = [regularization_share(params, done) for done in (0.0, 0.49, 0.75, 1.0)]
    assert shares == pytest.approx([1.0, 1.0, 0.5, 0.0])
    assert regularization_share(TrainingParams(), 0.9) == 1.0


@pytest.mark.parametrize("schedule", ["one_cycle", "coslog4"])
def test_a_schedule_that_begins_at_small_rates_refuses_another_warm_up(schedule: str) -> None:
    with pytest.raises(ValueError, match="brings its own warm-up"):
        TrainingParams.model_validate({"schedule": schedule, "warmup_epochs": 1.0})
