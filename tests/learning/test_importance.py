"""Which parameters mattered: our measure against Optuna's, and what it says of nothing."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from app.learning.tuning import importance, space, tpe
from app.learning.tuning.importance import MIN_TRIALS, importances
from app.learning.tuning.samplers import Trial
from tests.learning.test_tuning import WIDE, drawn

FIXED: dict[str, Any] = {
    "only": {"type": "categorical", "choices": ["this"]},
    "same": {"type": "float", "low": 0.5, "high": 0.5},
    "one": {"type": "int", "low": 3, "high": 4, "step": 2},
}
# Equal to Python, not to JSON.
ALIKE: dict[str, Any] = {"alike": {"type": "categorical", "choices": [1, True]}}


def tried(num_trials: int, *, seed: int) -> tuple[list[dict[str, Any]], list[float]]:
    """Random trials of the wide space: the rate matters most, then the shape, and some come to the same."""
    chance = random.Random(seed)
    params = [drawn("random", number, seed=seed) for number in range(num_trials)]
    losses = [
        round(abs(each["rate"] - 0.01) + 0.1 * (each["shape"] is None) + 0.01 * chance.random(), 3) for each in params
    ]
    return params, losses


@pytest.mark.parametrize(("num_trials", "seed"), [(MIN_TRIALS, 0), (21, 1), (40, 2), (300, 3), (300, 4)])
def test_our_importances_are_those_of_optuna(num_trials: int, seed: int) -> None:
    params, losses = tried(num_trials, seed=seed)
    wide = space.parse(WIDE)
    distributions = {name: tpe._distribution(dimension) for name, dimension in wide.items()}
    study = optuna.create_study()
    for each, loss in zip(params, losses, strict=True):
        study.add_trial(tpe._frozen(Trial(each, "completed", loss), wide, distributions))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=importance.BEST_SHARE)
    ours = importances(wide, params, losses)
    assert ours == pytest.approx(get_param_importances(study, evaluator=evaluator), abs=1e-9)


def test_what_decides_the_loss_comes_first_and_what_never_changes_counts_nothing() -> None:
    params, losses = tried(100, seed=0)
    found = importances(
        space.parse(WIDE | FIXED), [each | {"only": "this", "same": 0.5, "one": 3} for each in params], losses
    )
    assert found is not None
    assert next(iter(found)) == "rate"
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert sum(found.values()) == pytest.approx(1.0)
    assert [found[name] for name in FIXED] == [0.0, 0.0, 0.0]


def test_too_few_trials_and_trials_that_came_to_the_same_say_nothing() -> None:
    params, losses = tried(MIN_TRIALS, seed=0)
    assert importances(space.parse(WIDE), params[1:], losses[1:]) is None
    assert importances(space.parse(WIDE), params, [0.5] * MIN_TRIALS) is None
    assert importances(space.parse(FIXED), [{"only": "this", "same": 0.5, "one": 3}] * MIN_TRIALS, losses) is None


def test_choices_that_only_json_tells_apart_may_matter() -> None:
    values = [each for _ in range(MIN_TRIALS) for each in (1, True)]
    found = importances(
        space.parse(ALIKE), [{"alike": each} for each in values], [float(each is True) for each in values]
    )
    assert found == {"alike": 1.0}
