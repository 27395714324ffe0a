"""Which combination of parameters to try next: at random, along a grid, or where good ones are likely (tpe.py).

Deterministic: a suggestion is a function of (seed, number of the trial, the trials before it), on any machine; random
and grid do not even look at the trials.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.learning.tuning.space import Space, check_grid

Sampler = Literal["tpe", "random", "grid"]
State = Literal["running", "completed", "pruned", "failed"]
# So many trials are drawn at random before there is something to learn from; the default of Optuna, too.
NUM_STARTUP = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """A combination that was tried, or is being tried.

    `loss` is what it came to, smaller is better (a score that is to grow is negated), and None unless it was completed;
    `step` and `step_loss` are the last report before its end.
    """

    params: dict[str, Any]
    state: State
    loss: float | None = None
    step: int | None = None
    step_loss: float | None = None


def suggest(sampler: Sampler, space: Space, *, seed: int, number: int, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the parameters of trial `number`, which counts from 0.

    Raises: ModuleNotFoundError when tpe has something to learn from and Optuna is not installed.
    """
    if sampler == "grid":
        return _on_grid(space, seed, number)
    if sampler == "random" or sum(trial.state in ("completed", "pruned") for trial in trials) < NUM_STARTUP:
        return _at_random(space, seed, number)
    # A third of a second and 35 MB, which only a study that gets this far needs.
    from app.learning.tuning import tpe

    return tpe.suggest(space, seed=seed, number=number, trials=trials)


def has_optuna() -> bool:
    """Return whether tpe can be used here; loads nothing."""
    return importlib.util.find_spec("optuna") is not None


def _at_random(space: Space, seed: int, number: int) -> dict[str, Any]:
    # A text as seed is hashed by SHA-512, so neighbouring numbers have nothing in common.
    drawn = random.Random(f"{seed}/{number}")
    return {name: dimension.draw(drawn.random()) for name, dimension in space.items()}


def _on_grid(space: Space, seed: int, number: int) -> dict[str, Any]:
    # In random order: a study that ends early has then seen all parts of the grid.
    order = list(range(check_grid(space)))
    random.Random(seed).shuffle(order)
    rest = order[number]
    params = {}
    for name, dimension in space.items():
        rest, index = divmod(rest, dimension.num_values or 1)
        params[name] = dimension.value(index)
    return params
