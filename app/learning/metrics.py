"""How good predictions are, in numpy: classification from probabilities, regression from values.

Shapes: p_BK probabilities, y_B class numbers or values, v_B predicted values. Deterministic: yes.
A metric that the rows do not define (one class only, no variance) is left out rather than NaN.
Source: the definitions of scikit-learn 1.9, against which the tests compare; ranks after Mann and Whitney 1947.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Metrics = dict[str, float]

# Probabilities are float32 in the served graph, so nothing smaller can be told from 0.
SMALLEST = float(np.finfo(np.float32).eps)


def classification(p_BK: Floats, y_B: Integers) -> Metrics:
    """Return accuracy, balanced_accuracy, f1_macro, log_loss, roc_auc, and brier where K is 2."""
    best_B = p_BK.argmax(axis=1)
    metrics = {
        "accuracy": float((best_B == y_B).mean()),
        "balanced_accuracy": balanced_accuracy(best_B, y_B),
        "f1_macro": f1_macro(best_B, y_B),
        "log_loss": log_loss(p_BK, y_B),
        "roc_auc": roc_auc(p_BK, y_B),
    }
    if p_BK.shape[1] == 2:
        metrics["brier"] = float(((p_BK[:, 1] - y_B) ** 2).mean())
    return _finite(metrics)


def regression(v_B: Floats, y_B: Floats) -> Metrics:
    """Return rmse, mae and r2, in the units of the target."""
    error_B = v_B - y_B
    spread = float(((y_B - y_B.mean()) ** 2).sum())
    metrics = {
        "rmse": math.sqrt(float((error_B**2).mean())),
        "mae": float(np.abs(error_B).mean()),
        "r2": 1.0 - float((error_B**2).sum()) / spread if spread else math.nan,
    }
    return _finite(metrics)


def soft(v_B: Floats, y_B: Floats) -> Metrics:
    """Return the regression metrics and the cross-entropy of shares v_B against soft targets y_B."""
    clipped = np.clip(v_B, SMALLEST, 1 - SMALLEST)
    entropy = -(y_B * np.log(clipped) + (1 - y_B) * np.log1p(-clipped)).mean()
    return {"log_loss": float(entropy)} | regression(v_B, y_B)


def balanced_accuracy(best_B: Integers, y_B: Integers) -> float:
    """Return the mean recall over the classes that occur."""
    return float(np.mean([(best_B[y_B == k] == k).mean() for k in np.unique(y_B)]))


def f1_macro(best_B: Integers, y_B: Integers) -> float:
    """Return the mean F1 over the classes that occur or were predicted."""
    scores = []
    for k in np.union1d(y_B, best_B):
        hits = ((best_B == k) & (y_B == k)).sum()
        scores.append(2 * hits / ((best_B == k).sum() + (y_B == k).sum()))
    return float(np.mean(scores))


def log_loss(p_BK: Floats, y_B: Integers) -> float:
    """Return the mean negative log of the probability given to the true class."""
    clipped = np.clip(p_BK, SMALLEST, None)
    normed = clipped / clipped.sum(axis=1, keepdims=True)
    return float(-np.log(normed[np.arange(len(y_B)), y_B]).mean())


def roc_auc(p_BK: Floats, y_B: Integers) -> float:
    """Return the area under the ROC curve; for several classes the mean of one against the rest.

    NaN unless every class occurs.
    """
    num_classes = p_BK.shape[1]
    if len(np.unique(y_B)) < num_classes:
        return math.nan
    if num_classes == 2:
        return _auc(p_BK[:, 1], y_B == 1)
    return float(np.mean([_auc(p_BK[:, k], y_B == k) for k in range(num_classes)]))


def _auc(score_B: Floats, positive_B: NDArray[np.bool_]) -> float:
    _, inverse, counts = np.unique(score_B, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks.
    rank = np.cumsum(counts) - (counts - 1) / 2
    num_positive = int(positive_B.sum())
    num_negative = len(positive_B) - num_positive
    above = rank[inverse][positive_B].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def constant_probabilities(train_B: Integers, num_classes: int, num_rows: int) -> Floats:
    """Return the baseline's p_BK: the class shares of the training rows, for every row."""
    shares = np.bincount(train_B, minlength=num_classes) / len(train_B)
    return np.tile(shares, (num_rows, 1))


def constant_values(train_B: Floats, num_rows: int) -> Floats:
    """Return the baseline's v_B: the mean of the training rows, for every row."""
    return np.full(num_rows, train_B.mean())


def _finite(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
