"""Which trials have no hope: rules over the losses that trials reported so far. Smaller losses are better.

They are plain functions, so a server answers "shall I go on?" without loading a library; tests hold them against
Optuna's pruners. Deterministic: yes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Literal

Pruner = Literal["none", "median", "asha"]
# The defaults of Optuna: nobody is compared with fewer completed trials; of each rung a quarter goes on.
NUM_STARTUP = 5
REDUCTION = 4


def is_below_median(best_loss: float, losses_there: Sequence[float], num_completed: int) -> bool:
    """Return whether a trial's best loss up to a step is worse than the median of the completed trials at that step.

    `losses_there`: what the completed trials reported at the step, empty when none got there.
    Source: the median stopping rule of Golovin et al., Google Vizier, KDD 2017, in the form of Optuna.
    """
    return num_completed >= NUM_STARTUP and bool(losses_there) and best_loss > median(losses_there)


def rungs(after: int, step: int) -> Iterator[int]:
    """Yield the steps 1, 4, 16, ... that lie behind `after`, up to `step`."""
    rung = 1
    while rung <= step:
        if rung > after:
            yield rung
        rung *= REDUCTION


def falls_off(loss: float, losses_there: Sequence[float]) -> bool:
    """Return whether a trial that has come to a rung is not among the best quarter of those that did so far.

    `losses_there`: the losses with which trials came to the rung, its own included.
    Source: asynchronous successive halving, Li et al., MLSys 2020 (arXiv 1810.05934), with early stopping as in Optuna.
    """
    num_going_on = max(1, len(losses_there) // REDUCTION)
    return loss > sorted(losses_there)[num_going_on - 1]
