"""Spaces, samplers and pruners: what they suggest, what they refuse, and that they agree with Optuna."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest

from app.learning import metrics, specs
from app.learning.errors import LearningError
from app.learning.objectives import METRICS, objective
from app.learning.tuning import pruners, samplers, space, tpe
from app.learning.tuning.samplers import Trial
from tests.learning.datasets import REPOSITORY

WIDE = {
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "share": {"type": "float", "low": 0.1, "high": 0.5, "step": 0.1},
    "width": {"type": "int", "low": 8, "high": 1024, "log": True},
    "depth": {"type": "int", "low": 1, "high": 8, "step": 3},
    "shape": {"type": "categorical", "choices": [[64], [64, 64], None, "auto", True, 1]},
}
BAD_SPACES: list[tuple[Any, str]] = [
    ({}, "/space"),
    ({f"p{n}": {"type": "int", "low": 0, "high": 1} for n in range(65)}, "/space"),
    ({"": {"type": "int", "low": 0, "high": 1}}, "/space/"),
    ({"a": 3}, "/space/a"),
    ({"a": {}}, "/space/a/type"),
    ({"a": {"type": "log"}}, "/space/a/type"),
    ({"a": {"type": ["int"]}}, "/space/a/type"),
    ({"a": {"type": "int", "low": 0}}, "/space/a/high"),
    ({"a": {"type": "int", "low": 0.5, "high": 2}}, "/space/a/low"),
    ({"a": {"type": "int", "low": True, "high": 2}}, "/space/a/low"),
    ({"a": {"type": "int", "low": 3, "high": 1}}, "/space/a/high"),
    ({"a": {"type": "int", "low": 0, "high": 9, "log": True}}, "/space/a/low"),
    ({"a": {"type": "int", "low": 1, "high": 9, "log": True, "step": 2}}, "/space/a/step"),
    ({"a": {"type": "int", "low": 0, "high": 9, "step": 0}}, "/space/a/step"),
    ({"a": {"type": "int", "low": 0, "high": 2**63}}, "/space/a/high"),
    ({"a": {"type": "float", "low": "0", "high": 1}}, "/space/a/low"),
    ({"a": {"type": "float", "low": 0, "high": 1e308}}, "/space/a/high"),
    ({"a": {"type": "float", "low": 0, "high": 1, "step": 1e-12}}, "/space/a/step"),
    ({"a": {"type": "float", "low": 0, "high": 1, "choices": []}}, "/space/a/choices"),
    ({"a": {"type": "categorical", "choices": []}}, "/space/a/choices"),
    ({"a": {"type": "categorical", "choices": [{"x": 1}, {"x": 1}]}}, "/space/a/choices"),
    ({"a": {"type": "categorical", "choices": list(range(101))}}, "/space/a/choices"),
    ({"a/b~": {"type": "int", "low": 0}}, "/space/a~1b~0/high"),
]
BAD_FOR_DENSE: list[tuple[Any, dict[str, Any], str]] = [
    ({"lr": {"type": "float", "low": 0, "high": 1}}, {}, "/space/lr"),
    ({"epochs": {"type": "int", "low": 5, "high": 9}}, {"epochs": 5}, "/space/epochs"),
    ({"epochs": {"type": "int", "low": 0, "high": 9}}, {}, "/space/epochs/low"),
    ({"epochs": {"type": "int", "low": 1, "high": 10**9}}, {}, "/space/epochs/high"),
    ({"epochs": {"type": "float", "low": 1, "high": 10}}, {}, "/space/epochs/low"),
    ({"dropout": {"type": "float", "low": 0.0, "high": 1.0}}, {}, "/space/dropout/high"),
    ({"optimizer": {"type": "categorical", "choices": ["adamw", "adamx"]}}, {}, "/space/optimizer/choices/1"),
    ({"hidden": {"type": "categorical", "choices": [[8], [8, 0]]}}, {}, "/space/hidden/choices/1"),
    (
        {"early_stopping": {"type": "categorical", "choices": [None, {"patience": 0}]}},
        {},
        "/space/early_stopping/choices/1",
    ),
    ({"momentum": {"type": "float", "low": 0.1, "high": 0.9}}, {}, "/space/momentum"),
    ({"optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]}}, {"momentum": 0.5}, "/params/momentum"),
]


def drawn(kind: samplers.Sampler, number: int, *, seed: int = 0, trials: list[Trial] | None = None) -> dict[str, Any]:
    """A suggestion from the wide space."""
    return samplers.suggest(kind, space.parse(WIDE), seed=seed, number=number, trials=trials or [])


def is_inside(params: dict[str, Any]) -> bool:
    """Whether each value is one of the wide space."""
    return (
        1e-5 <= params["rate"] <= 1.0
        and params["share"] in (0.1, 0.2, 0.3, 0.4, 0.5)
        and params["width"] in range(8, 1025)
        and params["depth"] in (1, 4, 7)
        and any(params["shape"] is choice or params["shape"] == choice for choice in WIDE["shape"]["choices"])  # type: ignore[attr-defined]
    )


def learn(kind: samplers.Sampler, num_trials: int, *, seed: int) -> list[Trial]:
    """Trials of a task whose best is rate 0.01, depth 4, shape null."""
    trials: list[Trial] = []
    for number in range(num_trials):
        params = samplers.suggest(kind, space.parse(WIDE), seed=seed, number=number, trials=trials)
        loss = abs(math.log10(params["rate"]) + 2) + abs(params["depth"] - 4) + (params["shape"] is not None)
        trials.append(Trial(params, "completed", loss))
    return trials


@pytest.mark.parametrize(("given", "pointer"), BAD_SPACES)
def test_a_bad_space_is_refused_at_the_place(given: Any, pointer: str) -> None:
    with pytest.raises(LearningError) as refused:
        space.parse(given)
    assert pointer in [each["pointer"] for each in refused.value.errors]


@pytest.mark.parametrize(("given", "fixed", "pointer"), BAD_FOR_DENSE)
def test_a_space_that_the_spec_refuses_is_told_by_value(given: Any, fixed: dict[str, Any], pointer: str) -> None:
    with pytest.raises(LearningError) as refused:
        space.check_parameters(space.parse(given), specs.get("dense").params, fixed)
    assert pointer in [each["pointer"] for each in refused.value.errors]


def test_a_space_that_fits_the_spec_passes() -> None:
    given = {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "batch_size": {"type": "categorical", "choices": ["auto", None, 64]},
        "early_stopping": {"type": "categorical", "choices": [None, {"patience": 5}]},
        "epochs": {"type": "int", "low": 5, "high": 50, "step": 5},
    }
    space.check_parameters(space.parse(given), specs.get("dense").params, {"hidden": [8]})


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_suggestions_lie_in_the_space_and_vary(kind: samplers.Sampler) -> None:
    tried = [trial.params for trial in learn(kind, 25, seed=3)]
    assert all(map(is_inside, tried))
    assert len({repr(params) for params in tried}) > 20


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_a_suggestion_is_a_function_of_seed_number_and_history(kind: samplers.Sampler) -> None:
    trials = learn(kind, 15, seed=1)
    again = [drawn(kind, 15, seed=1, trials=trials) for _ in range(2)]
    assert again[0] == again[1]
    assert drawn(kind, 16, seed=1, trials=trials) != again[0]
    assert drawn(kind, 15, seed=2, trials=trials) != again[0]


def test_equal_ends_leave_one_value() -> None:
    one = space.parse(
        {"a": {"type": "int", "low": 3, "high": 3, "log": True}, "b": {"type": "float", "low": 2, "high": 2}}
    )
    assert samplers.suggest("random", one, seed=0, number=0, trials=[]) == {"a": 3, "b": 2.0}
    assert tpe.suggest(one, seed=0, number=0, trials=[]) == {"a": 3, "b": 2.0}


def test_a_logarithmic_scale_draws_small_values_as_often_as_large_ones() -> None:
    values = [drawn("random", number) for number in range(2000)]
    below = sum(params["rate"] < 10**-2.5 for params in values)
    assert 900 < below < 1100
    assert 900 < sum(params["width"] < 91 for params in values) < 1100


def test_a_grid_visits_every_combination_once_in_an_order_of_its_seed() -> None:
    grid = space.parse({name: WIDE[name] for name in ("share", "depth", "shape")})
    size = space.check_grid(grid)
    assert size == 5 * 3 * 6
    orders = [
        [repr(samplers.suggest("grid", grid, seed=seed, number=number, trials=[])) for number in range(size)]
        for seed in (0, 1)
    ]
    assert len(set(orders[0])) == size
    assert orders[0] != orders[1]
    assert Counter(orders[0]) == Counter(orders[1])


@pytest.mark.parametrize("given", [{"a": WIDE["rate"]}, {"a": WIDE["width"], "b": WIDE["width"]}])
def test_a_grid_without_steps_or_of_too_many_combinations_is_refused(given: Any) -> None:
    with pytest.raises(LearningError):
        space.check_grid(space.parse(given))


def test_tpe_finds_better_parameters_than_chance() -> None:
    means = {
        kind: sum(min(trial.loss or 0.0 for trial in learn(kind, 40, seed=seed)) for seed in range(5))
        for kind in ("random", "tpe")
    }
    assert means["tpe"] < 0.5 * means["random"]


def test_tpe_draws_at_random_until_ten_trials_have_taught_something() -> None:
    trials = learn("random", 9, seed=0) + [Trial({**drawn("random", 9)}, "failed")] * 5
    assert drawn("tpe", 14, trials=trials) == drawn("random", 14)
    trials.append(Trial(drawn("random", 20), "pruned", step=3, step_loss=0.5))
    assert drawn("tpe", 15, trials=trials) != drawn("random", 15)


def test_running_trials_keep_others_away_from_where_they_are() -> None:
    trials = learn("tpe", 30, seed=0)
    alone = drawn("tpe", 30, trials=trials)
    beside = drawn("tpe", 30, trials=[*trials, *[Trial(alone, "running")] * 5])
    assert beside != alone


def test_only_tpe_that_has_something_to_learn_from_loads_optuna() -> None:
    code = (
        "import sys; from app.learning.tuning import samplers, space\n"
        "s = space.parse({'x': {'type': 'float', 'low': 0, 'high': 1}})\n"
        "samplers.has_optuna(); [samplers.suggest('tpe', s, seed=0, number=n, trials=[]) for n in range(9)]\n"
        "assert not {'optuna', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def reported(seed: int) -> list[list[float]]:
    """Losses by epoch of several trials, one after another."""
    chance = random.Random(seed)
    return [[chance.random() * 5 / (step + 5) for step in range(chance.choice([3, 20]))] for _ in range(20)]


def optunas_verdicts(pruner: optuna.pruners.BasePruner, curves: list[list[float]]) -> list[int | None]:
    """At which step Optuna prunes each trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=pruner)
    verdicts: list[int | None] = []
    for curve in curves:
        trial = study.ask()
        pruned = None
        for step, loss in enumerate(curve, start=1):
            trial.report(loss, step)
            if trial.should_prune():
                pruned = step
                break
        study.tell(
            trial,
            curve[-1] if pruned is None else None,
            state=None if pruned is None else optuna.trial.TrialState.PRUNED,
        )
        verdicts.append(pruned)
    return verdicts


def our_verdicts(rule: str, curves: list[list[float]]) -> list[int | None]:
    """At which step our rules prune each trial."""
    seen: list[list[float]] = []
    completed: list[list[float]] = []
    verdicts: list[int | None] = []
    for curve in curves:
        pruned = None
        for step in range(1, len(curve) + 1):
            there = [other[step - 1] for other in completed if len(other) >= step]
            if rule == "median":
                hopeless = pruners.is_below_median(min(curve[:step]), there, len(completed))
            else:
                beside = [other[step - 1] for other in seen if len(other) >= step]
                hopeless = any(
                    pruners.falls_off(curve[step - 1], [*beside, curve[step - 1]])
                    for _ in pruners.rungs(step - 1, step)
                )
            if hopeless:
                pruned = step
                break
        seen.append(curve[:pruned])
        if pruned is None:
            completed.append(curve)
        verdicts.append(pruned)
    return verdicts


@pytest.mark.parametrize("seed", range(10))
def test_our_pruners_decide_as_optunas(seed: int) -> None:
    curves = reported(seed)
    median = our_verdicts("median", curves)
    assert median == optunas_verdicts(optuna.pruners.MedianPruner(), curves)
    asha = our_verdicts("asha", curves)
    assert asha == optunas_verdicts(optuna.pruners.SuccessiveHalvingPruner(min_resource=1), curves)
    assert any(median)
    assert any(asha)


def test_every_task_has_metrics_with_a_direction_that_cannot_be_turned() -> None:
    for task, names in METRICS.items():
        assert objective(task, None, None)[0] == names[0]
        for name in names:
            _, direction = objective(task, name, None)
            turned: Any = {"minimize": "maximize", "maximize": "minimize"}[direction]
            with pytest.raises(LearningError) as refused:
                objective(task, name, turned)
            assert refused.value.pointer == "/direction"
    with pytest.raises(LearningError, match="it has: rmse") as refused:
        objective("regression", "accuracy", None)
    assert refused.value.pointer == "/metric"


def test_the_metrics_to_aim_at_are_those_that_a_training_measures() -> None:
    chance = np.random.default_rng(0)
    p_B, y_B = chance.uniform(size=50), chance.integers(0, 2, 50)
    offsets = np.array([-0.1, 0.0, 0.1])
    measured = {
        "binary": metrics.classification(np.stack([1 - p_B, p_B], axis=1), y_B),
        "multiclass": metrics.classification(np.stack([1 - p_B, p_B / 2, p_B / 2], axis=1), y_B + (p_B > 0.5)),
        "regression": metrics.measured(metrics.Regression(p_B, y_B.astype(float), offsets)),
        "soft": metrics.measured(metrics.Soft(p_B, y_B.astype(float), offsets)),
    }
    assert {task: set(found) for task, found in measured.items()} == {
        task: set(names) for task, names in METRICS.items()
    }
