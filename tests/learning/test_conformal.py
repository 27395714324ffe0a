"""Intervals and sets hold the truth as often as they say, on rows nobody had seen, or there are none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.learning.errors import InputError
from app.learning.evaluation.answered import Answered, softmax
from app.learning.evaluation.conformal import COVERAGES, add_sets, covered, fit_conformal, quantile
from app.learning.prepared import select
from app.learning.runtime import Predictor
from app.learning.tasks import Head
from tests.learning.datasets import REPOSITORY, read_csv, to_row, write_dataset
from tests.learning.test_train import run


def values(num_rows: int, seed: int) -> Answered:
    generator = np.random.default_rng(seed)
    y_B = generator.normal(size=num_rows)
    return Answered(Head("regression", (), 0.0, 1.0), (y_B + generator.standard_t(3, num_rows))[:, None], y_B, y_B)


def classes(num_rows: int, seed: int) -> Answered:
    generator = np.random.default_rng(seed)
    p_BK = softmax(2 * generator.normal(size=(num_rows, 4)))
    y_B = (p_BK.cumsum(axis=1) > generator.random((num_rows, 1))).argmax(axis=1)
    return Answered(Head("multiclass", ("a", "b", "c", "d")), p_BK, y_B.astype(float), y_B)


@pytest.mark.parametrize(("coverage", "place"), [(0.5, 10), (0.8, 16), (0.9, 18), (0.95, 19)])
def test_the_quantile_has_the_correction_for_few_rows(coverage: float, place: int) -> None:
    # ceil(20 * coverage) of 19 scores 1, 2, … 19.
    assert quantile(np.arange(1.0, 20.0), coverage) == place


@pytest.mark.parametrize("coverage", COVERAGES)
def test_too_few_rows_have_no_quantile(coverage: float) -> None:
    needed = math.ceil(coverage / (1 - coverage) - 1e-9)
    assert quantile(np.arange(float(needed)), coverage) is not None
    assert quantile(np.arange(float(needed - 1)), coverage) is None


@pytest.mark.parametrize("make", [values, classes])
@pytest.mark.parametrize("num_rows", [40, 300])
def test_coverage_holds_for_new_rows_whatever_the_errors(make: Any, num_rows: int) -> None:
    found: dict[float, list[float]] = {}
    for seed in range(60):
        conformal = fit_conformal(make(num_rows, seed))
        for each in covered(make(500, 1000 + seed), conformal):
            found.setdefault(each["coverage"], []).append(each["found"])
    for coverage, shares in found.items():
        # Of 60 means of 500 rows; the sets always hold the likeliest label, which may be right more often.
        assert np.mean(shares) >= coverage - 0.012, coverage
        if make is values:
            assert np.mean(shares) <= coverage + 1 / (num_rows + 1) + 0.02


def test_a_share_stays_within_0_and_1() -> None:
    conformal = {"method": "absolute_residual", "num_rows": 9, "quantiles": {"0.9": 0.4}}
    predictions: list[Any] = [{"value": 0.1}, {"value": 0.9}]
    add_sets(predictions, 0.9, conformal, {"classes": None, "task": "soft"})
    assert [each["interval"] for each in predictions] == [[0.0, 0.5], [0.5, 1.0]]


def test_a_set_is_never_empty() -> None:
    conformal = {"method": "least_ambiguous_set", "num_rows": 99, "quantiles": {"0.5": 0.01}}
    predictions: list[Any] = [{"label": "b", "probabilities": {"a": 0.4, "b": 0.6}}]
    add_sets(predictions, 0.5, conformal, {"classes": ["a", "b"], "task": "binary"})
    assert predictions[0]["set"] == ["b"]


def test_a_version_from_before_says_that_it_has_no_intervals() -> None:
    with pytest.raises(InputError, match="without intervals"):
        add_sets([], 0.9, None, {"classes": None})


@pytest.mark.parametrize("target", ["body_mass_g", "island"])
def test_served_intervals_and_sets_cover_real_rows_that_nobody_had_seen(target: str, tmp_path: Path) -> None:
    types, columns = read_csv(REPOSITORY / "examples" / "penguins.csv")
    found: dict[float, list[bool]] = {coverage: [] for coverage in (0.5, 0.8, 0.9)}
    for seed in range(4):
        dataset = write_dataset(tmp_path / "d.parquet", types, columns)
        split = {"validation": 0.3, "test": 0.3}
        result = run(dataset, target=target, spec="linear", params={"epochs": 40}, seed=seed, split=split)[-1]
        predictor = Predictor.load(result["manifest"], Path(result["files"]["graph"]["path"]).read_bytes())
        rows = rows_of_the_test_part(dataset, target, seed, split)
        for coverage, hits in found.items():
            predictions = predictor.predict_rows([to_row(types, columns, row) for row in rows])
            predictor.add_sets(predictions, coverage)
            hits += [holds(each, columns[target][row]) for each, row in zip(predictions, rows, strict=True)]
    for coverage, hits in found.items():
        assert len(hits) >= 400
        # Two standard errors of the rows, and the spread that a hundred held-out rows leave.
        assert np.mean(hits) >= coverage - 0.08, coverage


def rows_of_the_test_part(dataset: dict[str, Any], target: str, seed: int, split: dict[str, Any]) -> list[int]:
    chosen = select({"dataset": dataset, "target": target, "seed": seed, "split": split}, lambda message: None)
    return [int(row) for row in chosen.parts.test]


def holds(prediction: Any, truth: Any) -> bool:
    if "interval" in prediction:
        low, high = prediction["interval"]
        return bool(low <= truth <= high)
    return truth in prediction["set"]
