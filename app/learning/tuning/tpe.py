"""Suggestions of the tree-structured Parzen estimator, by Optuna; its studies live in memory for one question each.

Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011, as in Optuna 5 with its defaults:
ten random trials first, trials that run count as bad ones ("constant liar"), so that several at once spread out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from app.learning.tuning.dimensions import Choices, Dimension, IntRange
from app.learning.tuning.samplers import NUM_STARTUP, Trial
from app.learning.tuning.space import Space

STATES = {"running": TrialState.RUNNING, "completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}


def suggest(space: Space, *, seed: int, number: int, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return parameters that are likely to be good, from the trials so far; failed ones teach nothing.

    Deterministic: the generator begins anew for each trial, from the seed and its number.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    generator_seed = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")
    sampler = optuna.samplers.TPESampler(seed=generator_seed, n_startup_trials=NUM_STARTUP, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    study.add_trials([_frozen(trial, space, distributions) for trial in trials if trial.state in STATES])
    asked = study.ask(distributions).params
    return {name: _native(dimension, asked[name]) for name, dimension in space.items()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choices):
        # Optuna keeps words and numbers only; any JSON has a place in the list.
        return CategoricalDistribution(range(dimension.num_values))
    (_, low), (_, high) = dimension.probes
    if isinstance(dimension, IntRange):
        return IntDistribution(low, high, log=dimension.log, step=dimension.step)
    return FloatDistribution(low, high, log=dimension.log, step=dimension.step)


def _frozen(trial: Trial, space: Space, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    reported = {} if trial.step is None or trial.step_loss is None else {trial.step: trial.step_loss}
    return create_trial(
        state=STATES[trial.state],
        value=trial.loss if trial.state == "completed" else None,
        params={name: _foreign(dimension, trial.params[name]) for name, dimension in space.items()},
        distributions=distributions,
        intermediate_values=reported,
    )


def _foreign(dimension: Dimension, value: Any) -> Any:
    return dimension.place(value) if isinstance(dimension, Choices) else value


def _native(dimension: Dimension, value: Any) -> Any:
    if isinstance(dimension, Choices):
        return dimension.choices[value]
    if dimension.step is None:
        return min(max(float(value), dimension.low), dimension.high)
    # On the very values that the other samplers use, free of binary dust.
    return dimension.value(round((value - dimension.low) / dimension.step))
