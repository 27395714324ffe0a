"""How good answers are, in numpy: classification from probabilities, regression from values.

Every metric is a function of weights of the rows, many sets of them at once: all ones give the metric itself, and how
often each row was drawn gives it for a resample. Shapes: p_BK probabilities, y_B class numbers or values, v_B predicted
values, w_RB R sets of weights; what is measured is (R,). Deterministic: yes.
A metric that the rows do not define (one class only, no variance) is NaN in a set and left out of the result.
Source: the definitions of scikit-learn 1.9, against which the tests compare; expected calibration error, Naeini et al.,
AAAI 2015; the ranks behind roc_auc, Mann and Whitney 1947.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Metrics = dict[str, float]

# Probabilities are float32 in the served graph, so nothing smaller can be told from 0.
SMALLEST = float(np.finfo(np.float32).eps)
NUM_BINS = 15
# The quantiles at which the pinball loss is measured.
QUANTILES = (0.1, 0.5, 0.9)
HIGHER_IS_BETTER = frozenset({"accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "pr_auc", "r2"})


class Scores(Protocol):
    """The metrics of one set of answers; those that rank the rows go over them `num_rankings` times."""

    num_rows: int
    num_rankings: int

    def measure(self, w_RB: Floats, *, ranked: bool = True) -> dict[str, Floats]:
        """Return every metric (R,) under these weights; without `ranked`, only those that rank nothing."""


class Groups:
    """Rows that share a key, in ascending order of the key, to be summed group by group."""

    def __init__(self, key_B: NDArray[np.generic]) -> None:
        self.keys_G, group_B = np.unique(key_B, return_inverse=True)
        self._order_B = np.argsort(group_B, kind="stable")
        self._starts_G = np.searchsorted(group_B[self._order_B], np.arange(len(self.keys_G)))

    def sums(self, values_RB: Floats) -> Floats:
        """Return the sums (R, G) over each group."""
        sums_RG: Floats = np.add.reduceat(values_RB[:, self._order_B], self._starts_G, axis=1)
        return sums_RG


class Classification:
    """Metrics of p_BK: accuracy, balanced_accuracy, f1_macro, log_loss, brier, ece, roc_auc, pr_auc."""

    def __init__(self, p_BK: Floats, y_B: Integers) -> None:
        self.num_rows, num_classes = p_BK.shape
        self.num_rankings = 1 if num_classes == 2 else num_classes
        best_B = p_BK.argmax(axis=1)
        self._hit_B = (best_B == y_B).astype(np.float64)
        self._true, self._predicted = Groups(y_B), Groups(best_B)
        self._rows_BM = np.stack([log_losses(p_BK, y_B), _brier(p_BK, y_B)], axis=1)
        certain_B, right_B = certainty(p_BK, y_B)
        self._gap_B = certain_B - right_B
        self._bins = Groups(bin_numbers(certain_B))
        ranked = [1] if num_classes == 2 else range(num_classes)
        self._rankings = [(Groups(p_BK[:, k]), (y_B == k).astype(np.float64)) for k in ranked]

    def measure(self, w_RB: Floats, *, ranked: bool = True) -> dict[str, Floats]:
        """Return every metric (R,) under these weights."""
        total_R = w_RB.sum(axis=1)
        log_loss_R, brier_R = (w_RB @ self._rows_BM / total_R[:, None]).T
        metrics = {
            "accuracy": w_RB @ self._hit_B / total_R,
            "balanced_accuracy": self._balanced_accuracy(w_RB),
            "f1_macro": self._f1(w_RB),
            "log_loss": log_loss_R,
            "brier": brier_R,
            "ece": np.abs(self._bins.sums(w_RB * self._gap_B)).sum(axis=1) / total_R,
        }
        return metrics | (self._rank(w_RB) if ranked else {})

    def _rank(self, w_RB: Floats) -> dict[str, Floats]:
        """The areas under both curves; for several classes the mean of one against the rest."""
        areas = [_areas(groups.sums(w_RB * positive_B), groups.sums(w_RB)) for groups, positive_B in self._rankings]
        roc_auc_R, pr_auc_R = np.mean(areas, axis=0)
        return {"roc_auc": roc_auc_R, "pr_auc": pr_auc_R}

    def _balanced_accuracy(self, w_RB: Floats) -> Floats:
        """The mean recall over the classes that occur."""
        true_RG = self._true.sums(w_RB)
        recall_RG = _ratio(self._true.sums(w_RB * self._hit_B), true_RG)
        mean_R: Floats = np.nansum(recall_RG, axis=1) / (true_RG > 0).sum(axis=1)
        return mean_R

    def _f1(self, w_RB: Floats) -> Floats:
        """The mean F1 over the classes that occur or were predicted."""
        keys = np.union1d(self._true.keys_G, self._predicted.keys_G)
        hits_RG, size_RG = np.zeros((2, len(w_RB), len(keys)))
        for groups in (self._true, self._predicted):
            size_RG[:, np.searchsorted(keys, groups.keys_G)] += groups.sums(w_RB)
        hits_RG[:, np.searchsorted(keys, self._true.keys_G)] = self._true.sums(w_RB * self._hit_B)
        mean_R: Floats = np.nansum(_ratio(2 * hits_RG, size_RG), axis=1) / (size_RG > 0).sum(axis=1)
        return mean_R


class Regression:
    """Metrics of v_B in the units of the target: rmse, mae, r2, and pinball where `offsets` are known.

    The pinball loss is the mean over QUANTILES; the answer's quantiles are v_B + `offsets`, one for each of them: those
    of the errors on rows that were held out.
    """

    num_rankings = 0

    def __init__(self, v_B: Floats, y_B: Floats, offsets: Floats | None = None) -> None:
        self.num_rows = len(y_B)
        error_B = y_B - v_B
        # Constant targets must not look as if they varied by a rounding error.
        centred_B = y_B - (y_B[0] if y_B.min() == y_B.max() else y_B.mean())
        columns = [error_B**2, np.abs(error_B), centred_B, centred_B**2]
        if offsets is not None:
            losses = [_pinball(error_B - offset, q) for q, offset in zip(QUANTILES, offsets, strict=True)]
            columns.append(np.mean(losses, axis=0))
        self._rows_BM = np.stack(columns, axis=1)

    def measure(self, w_RB: Floats, *, ranked: bool = True) -> dict[str, Floats]:
        """Return every metric (R,) under these weights."""
        squared_R, absolute_R, centred_R, spread_R, *pinball = (w_RB @ self._rows_BM / w_RB.sum(1, keepdims=True)).T
        variance_R = spread_R - centred_R**2
        varies_R = variance_R > 1e-12 * spread_R
        metrics = {
            "rmse": np.sqrt(squared_R),
            "mae": absolute_R,
            "r2": 1.0 - _ratio(squared_R, np.where(varies_R, variance_R, 0.0)),
        }
        return metrics | ({"pinball": pinball[0]} if pinball else {})


class Soft:
    """Metrics of shares v_B against soft targets y_B in [0, 1]: their cross-entropy, and those of a regression."""

    num_rankings = 0

    def __init__(self, v_B: Floats, y_B: Floats, offsets: Floats | None = None) -> None:
        self.num_rows = len(y_B)
        clipped_B = np.clip(v_B, SMALLEST, 1 - SMALLEST)
        self._entropy_B = -(y_B * np.log(clipped_B) + (1 - y_B) * np.log1p(-clipped_B))
        self._regression = Regression(v_B, y_B, offsets)

    def measure(self, w_RB: Floats, *, ranked: bool = True) -> dict[str, Floats]:
        """Return every metric (R,) under these weights."""
        return {"log_loss": w_RB @ self._entropy_B / w_RB.sum(axis=1)} | self._regression.measure(w_RB)


def measured(scores: Scores) -> Metrics:
    """Return the metrics themselves: every row counts once."""
    values = scores.measure(np.ones((1, scores.num_rows)))
    return finite({name: float(value_R[0]) for name, value_R in values.items()})


def classification(p_BK: Floats, y_B: Integers) -> Metrics:
    """Return the metrics of Classification."""
    return measured(Classification(p_BK, y_B))


def regression(v_B: Floats, y_B: Floats) -> Metrics:
    """Return the metrics of Regression."""
    return measured(Regression(v_B, y_B))


def soft(v_B: Floats, y_B: Floats) -> Metrics:
    """Return the metrics of Soft."""
    return measured(Soft(v_B, y_B))


def log_losses(p_BK: Floats, y_B: Integers) -> Floats:
    """Return the negative log (B,) of the probability given to the true class of each row."""
    clipped = np.clip(p_BK, SMALLEST, None)
    losses_B: Floats = np.log(clipped.sum(axis=1)) - np.log(clipped[np.arange(len(y_B)), y_B])
    return losses_B


def log_loss(p_BK: Floats, y_B: Integers) -> float:
    """Return the mean negative log of the probability given to the true class."""
    return float(log_losses(p_BK, y_B).mean())


def certainty(p_BK: Floats, y_B: Integers) -> tuple[Floats, Floats]:
    """Return what calibration compares (B,): a probability, and whether what it was given to came true.

    Of two classes that is the second one, of more the one with the highest probability.
    """
    if p_BK.shape[1] == 2:
        return p_BK[:, 1], (y_B == 1).astype(np.float64)
    return p_BK.max(axis=1), (p_BK.argmax(axis=1) == y_B).astype(np.float64)


def expected_calibration_error(p_BK: Floats, y_B: Integers) -> float:
    """Return the mean distance, over bins of equal width, between probability and frequency."""
    certain_B, right_B = certainty(p_BK, y_B)
    gaps = Groups(bin_numbers(certain_B)).sums((certain_B - right_B)[None, :])
    return float(np.abs(gaps).sum() / len(y_B))


def bin_numbers(probability_B: Floats) -> Integers:
    """Return which of the NUM_BINS bins of equal width, closed above, holds each probability."""
    inner = np.linspace(0, 1, NUM_BINS + 1)[1:-1]
    return np.searchsorted(inner, probability_B).astype(np.int64)


def constant_probabilities(train_B: Integers, num_classes: int, num_rows: int) -> Floats:
    """Return the baseline's p_BK: the class shares of the training rows, for every row."""
    shares = np.bincount(train_B, minlength=num_classes) / len(train_B)
    return np.tile(shares, (num_rows, 1))


def constant_values(train_B: Floats, num_rows: int) -> Floats:
    """Return the baseline's v_B: the mean of the training rows, for every row."""
    return np.full(num_rows, train_B.mean())


def finite(values: Mapping[str, float]) -> Metrics:
    """Return the metrics that are defined."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _brier(p_BK: Floats, y_B: Integers) -> Floats:
    squares_B: Floats
    if p_BK.shape[1] == 2:
        squares_B = (p_BK[:, 1] - y_B) ** 2
        return squares_B
    true_B = p_BK[np.arange(len(y_B)), y_B]
    squares_B = (p_BK**2).sum(axis=1) + 1.0 - 2.0 * true_B
    return squares_B


def _pinball(error_B: Floats, quantile: float) -> Floats:
    losses_B: Floats = np.maximum(quantile * error_B, (quantile - 1.0) * error_B)
    return losses_B


def _areas(positive_RG: Floats, all_RG: Floats) -> tuple[Floats, Floats]:
    """Return the areas (R,) under ROC and precision-recall curve; groups of equal scores, ascending."""
    negative_RG = all_RG - positive_RG
    num_positive_R, num_negative_R = positive_RG.sum(axis=1), negative_RG.sum(axis=1)
    # Rows of equal score lie half below each other.
    below_RG = np.cumsum(negative_RG, axis=1) - negative_RG / 2
    roc_R = _ratio((positive_RG * below_RG).sum(axis=1), num_positive_R * num_negative_R)
    found_RG = np.cumsum(positive_RG[:, ::-1], axis=1)
    precision_RG = found_RG / np.maximum(np.cumsum(all_RG[:, ::-1], axis=1), 1e-300)
    pr_R = _ratio((positive_RG[:, ::-1] * precision_RG).sum(axis=1), num_positive_R)
    return roc_R, np.where(num_negative_R > 0, pr_R, math.nan)


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide; what is divided by nothing is NaN."""
    quotient: Floats = np.divide(above, below, out=np.full_like(above, math.nan), where=below > 0)
    return quotient
