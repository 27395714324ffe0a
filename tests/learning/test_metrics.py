"""Metrics equal scikit-learn's, and what a part does not define is left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from app.learning import metrics


@pytest.mark.parametrize("num_classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_classification_metrics_equal_scikit_learn(num_classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    y_B = generator.integers(num_classes, size=200)
    # Rounding makes ties, which the ranks of the ROC must share.
    raw = np.round(generator.random((200, num_classes)) + np.eye(num_classes)[y_B], 1) + 0.1
    p_BK = raw / raw.sum(axis=1, keepdims=True)
    found = metrics.classification(p_BK, y_B)
    best_B = p_BK.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(y_B, best_B),
        "balanced_accuracy": reference.balanced_accuracy_score(y_B, best_B),
        "f1_macro": reference.f1_score(y_B, best_B, average="macro"),
        "log_loss": reference.log_loss(y_B, p_BK),
        "roc_auc": reference.roc_auc_score(y_B, p_BK[:, 1] if num_classes == 2 else p_BK, multi_class="ovr"),
    }
    if num_classes == 2:
        expected["brier"] = reference.brier_score_loss(y_B, p_BK[:, 1])
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_regression_metrics_equal_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    y_B, v_B = generator.normal(size=(2, 50)) * 100
    assert metrics.regression(v_B, y_B) == pytest.approx(
        {
            "rmse": reference.root_mean_squared_error(y_B, v_B),
            "mae": reference.mean_absolute_error(y_B, v_B),
            "r2": reference.r2_score(y_B, v_B),
        }
    )


def test_an_undefined_metric_is_left_out_and_never_nan() -> None:
    one_class = metrics.classification(np.array([[0.9, 0.1]]), np.array([0]))
    assert "roc_auc" not in one_class
    assert "r2" not in metrics.regression(np.array([1.0]), np.array([2.0]))


def test_certainty_that_is_wrong_costs_much_but_not_infinitely() -> None:
    assert 15 < metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1])) < 20


def test_the_baselines_answer_the_shares_and_the_mean_of_training() -> None:
    p_BK = metrics.constant_probabilities(np.array([0, 0, 1, 0]), 3, 2)
    assert p_BK.tolist() == [[0.75, 0.25, 0.0]] * 2
    assert metrics.constant_values(np.array([1.0, 3.0]), 2).tolist() == [2.0, 2.0]
