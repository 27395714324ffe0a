"""Learning rates as functions of the step, so that a resumed run needs no scheduler state.

Source: cosine, Loshchilov and Hutter, arXiv 1608.03983 (one half period); one cycle, Smith, arXiv 1803.09820,
with cosine ramps: 30% of the steps up from a 25th, the rest down to a 10,000th; coslog4 and flat_cosine,
Holzmüller et al., arXiv 2407.04491. Deterministic: yes.
"""

from __future__ import annotations

import math

from app.learning.training_params import TrainingParams

RISING_SHARE = 0.3
FIRST_SHARE = 1 / 25
LAST_SHARE = 1e-4
FLAT_SHARE = 0.5


def learning_rate(params: TrainingParams, step: int, steps_per_epoch: int, plateau: float) -> float:
    """Return the rate of this step (counted from 0); `plateau` is the factor that stalls have earned so far."""
    num_steps = params.epochs * steps_per_epoch
    warmup_steps = min(params.warmup_epochs * steps_per_epoch, num_steps / 2)
    rising = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    done = max(0.0, step - warmup_steps) / max(1.0, num_steps - warmup_steps)
    return params.learning_rate * rising * _factor(params, done, step // steps_per_epoch) * plateau


def _factor(params: TrainingParams, done: float, epoch: int) -> float:
    if params.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if params.schedule == "one_cycle":
        return _one_cycle(done)
    if params.schedule == "coslog4":
        return 0.5 * (1.0 - math.cos(2.0 * math.pi * math.log2(1.0 + 15.0 * done)))
    if params.schedule == "step":
        return float(params.decay_factor ** (epoch // params.decay_epochs))
    return 1.0


def _one_cycle(done: float) -> float:
    if done < RISING_SHARE:
        return _ramp(FIRST_SHARE, 1.0, done / RISING_SHARE)
    return _ramp(1.0, LAST_SHARE, (done - RISING_SHARE) / (1.0 - RISING_SHARE))


def _ramp(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def regularization_share(params: TrainingParams, done: float) -> float:
    """Return by what to multiply weight decay and dropout when this share of all steps is done."""
    if params.regularization_schedule == "constant" or done < FLAT_SHARE:
        return 1.0
    return _ramp(1.0, 0.0, (done - FLAT_SHARE) / (1.0 - FLAT_SHARE))
