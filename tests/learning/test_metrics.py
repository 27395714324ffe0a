"""Metrics equal scikit-learn's, and what a part does not define is left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from app.learning import metrics


def expected_calibration_error(p_BK: np.ndarray, y_B: np.ndarray) -> float:
    """From scikit-learn's curve: the mean distance of its points from the diagonal, by their rows."""
    is_binary = p_BK.shape[1] == 2
    certain_B = p_BK[:, 1] if is_binary else p_BK.max(axis=1)
    right_B = y_B if is_binary else p_BK.argmax(axis=1) == y_B
    frequency, certain = calibration_curve(right_B, certain_B, n_bins=metrics.NUM_BINS)
    edges = np.linspace(0, 1, metrics.NUM_BINS + 1)
    sizes = np.bincount(np.searchsorted(edges[1:-1], certain_B), minlength=metrics.NUM_BINS)
    return float((np.abs(frequency - certain) * sizes[sizes > 0]).sum() / len(y_B))


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
    ranked = [1] if num_classes == 2 else range(num_classes)
    expected = {
        "accuracy": reference.accuracy_score(y_B, best_B),
        "balanced_accuracy": reference.balanced_accuracy_score(y_B, best_B),
        "f1_macro": reference.f1_score(y_B, best_B, average="macro"),
        "log_loss": reference.log_loss(y_B, p_BK),
        "roc_auc": reference.roc_auc_score(y_B, p_BK[:, 1] if num_classes == 2 else p_BK, multi_class="ovr"),
        "pr_auc": np.mean([reference.average_precision_score(y_B == k, p_BK[:, k]) for k in ranked]),
        "brier": reference.brier_score_loss(y_B, p_BK[:, 1] if num_classes == 2 else p_BK),
        "ece": expected_calibration_error(p_BK, y_B),
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert metrics.expected_calibration_error(p_BK, y_B) == pytest.approx(expected["ece"])


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


@pytest.mark.parametrize("num_classes", [2, 4])
def test_weights_of_rows_count_as_scikit_learns(num_classes: int) -> None:
    generator = np.random.default_rng(5)
    y_B = generator.integers(num_classes, size=300)
    raw = np.round(generator.random((300, num_classes)), 1) + 0.1
    p_BK = raw / raw.sum(axis=1, keepdims=True)
    w_RB = generator.integers(0, 4, size=(3, 300)).astype(float)
    found = metrics.Classification(p_BK, y_B).measure(w_RB)
    for row, weights in enumerate(w_RB):
        best_B, score = p_BK.argmax(axis=1), p_BK[:, 1] if num_classes == 2 else p_BK
        ranked = [1] if num_classes == 2 else range(num_classes)
        expected = {
            "balanced_accuracy": reference.balanced_accuracy_score(y_B, best_B, sample_weight=weights),
            "f1_macro": reference.f1_score(y_B, best_B, average="macro", sample_weight=weights),
            "log_loss": reference.log_loss(y_B, p_BK, sample_weight=weights),
            "roc_auc": reference.roc_auc_score(y_B, score, multi_class="ovr", sample_weight=weights),
            "pr_auc": np.mean(
                [reference.average_precision_score(y_B == k, p_BK[:, k], sample_weight=weights) for k in ranked]
            ),
        }
        assert {name: found[name][row] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_the_pinball_loss_is_scikit_learns_mean_over_the_quantiles() -> None:
    generator = np.random.default_rng(6)
    y_B, v_B = generator.normal(size=(2, 80))
    offsets = np.array([-1.0, 0.1, 1.5])
    found = metrics.measured(metrics.Regression(v_B, y_B, offsets))
    expected = [
        reference.mean_pinball_loss(y_B, v_B + offset, alpha=alpha)
        for alpha, offset in zip(metrics.QUANTILES, offsets, strict=True)
    ]
    assert found["pinball"] == pytest.approx(np.mean(expected))


def test_constant_targets_have_no_r2_whatever_their_rounding() -> None:
    assert "r2" not in metrics.regression(np.linspace(0, 1, 7), np.full(7, 0.1))


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
