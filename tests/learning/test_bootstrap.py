"""Intervals hold what they promise, and two models are compared on the same resampled rows."""

from __future__ import annotations

import numpy as np
import pytest

from app.learning.evaluation import bootstrap
from app.learning.metrics import Classification, Regression, measured


def regression(num_rows: int, seed: int, noise: float = 1.0) -> Regression:
    generator = np.random.default_rng(seed)
    y_B = generator.normal(size=num_rows)
    return Regression(y_B + noise * generator.normal(size=num_rows), y_B)


def test_an_interval_holds_the_true_error_about_as_often_as_stated() -> None:
    # The mean absolute error of standard normal noise is sqrt(2 / pi).
    found = [bootstrap.intervals(regression(100, seed), seed=seed)["mae"] for seed in range(300)]
    share = np.mean([low <= np.sqrt(2 / np.pi) <= high for low, high in found])
    assert 0.90 <= share <= 0.98


def test_an_interval_is_as_wide_as_theory_says() -> None:
    low, high = bootstrap.intervals(regression(400, 0), seed=0)["mae"]
    expected = 2 * 1.96 * np.sqrt((1 - 2 / np.pi) / 400)
    assert high - low == pytest.approx(expected, rel=0.2)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    scores = regression(50, 1)
    assert bootstrap.intervals(scores, seed=3) == bootstrap.intervals(scores, seed=3)
    assert bootstrap.intervals(scores, seed=3) != bootstrap.intervals(scores, seed=4)


def test_every_metric_of_a_classification_lies_in_its_interval() -> None:
    generator = np.random.default_rng(2)
    y_B = generator.integers(3, size=200)
    raw = generator.random((200, 3)) + np.eye(3)[y_B]
    scores = Classification(raw / raw.sum(axis=1, keepdims=True), y_B)
    found, points = bootstrap.intervals(scores, seed=0), measured(scores)
    # The calibration error is biased upwards by resampling, as every mean of distances is.
    assert set(found) == set(points)
    for name in set(points) - {"ece"}:
        assert found[name][0] <= points[name] <= found[name][1], name


def test_a_metric_that_most_resamples_do_not_define_has_no_interval() -> None:
    y_B = np.array([0] * 99 + [1])
    p_BK = np.tile([0.9, 0.1], (100, 1))
    found = bootstrap.intervals(Classification(p_BK, y_B), seed=0)
    assert "log_loss" in found
    assert "roc_auc" not in found


def test_many_rows_get_fewer_resamples_and_never_more_work_than_is_worth_it() -> None:
    class Many:
        num_rows, num_rankings = 200_000, 10

    assert bootstrap.num_resamples(regression(100, 0)) == (1000, True)
    assert bootstrap.num_resamples(Many()) == (100, False)  # type: ignore[arg-type]


def test_the_better_of_two_models_is_found_with_confidence() -> None:
    good, bad = regression(300, 7, noise=0.5), regression(300, 7, noise=1.0)
    found = bootstrap.compare(good, bad, seed=0)["rmse"]
    assert found["difference"] == pytest.approx(found["first"] - found["second"])
    assert found["interval"][1] < 0
    assert found["probability_better"] > 0.99
    assert found["p_value"] <= 0.01
    reverse = bootstrap.compare(bad, good, seed=0)["rmse"]
    assert reverse["probability_better"] < 0.01
    assert reverse["interval"] == pytest.approx([-found["interval"][1], -found["interval"][0]])


def test_higher_is_better_for_some_metrics() -> None:
    found = bootstrap.compare(regression(300, 7, noise=0.5), regression(300, 7, noise=1.0), seed=0)["r2"]
    assert found["difference"] > 0
    assert found["probability_better"] > 0.99


def test_rows_are_drawn_in_pairs_so_a_model_equals_itself() -> None:
    scores = regression(60, 9)
    found = bootstrap.compare(scores, scores, seed=0)["mae"]
    assert found == {
        "first": found["first"], "second": found["first"], "difference": 0.0, "interval": (0.0, 0.0),
        "probability_better": 0.5, "p_value": 1.0,
    }  # fmt: skip


def test_models_of_equal_quality_are_rarely_told_apart() -> None:
    found = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        y_B, one_B, other_B = generator.normal(size=(3, 80))
        pair = Regression(y_B + one_B, y_B), Regression(y_B + other_B, y_B)
        found.append(bootstrap.compare(*pair, seed=seed)["mae"]["p_value"])
    assert np.mean(np.array(found) < 0.05) <= 0.12
