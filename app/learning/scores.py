"""The figures of a network on its validation part that are watched epoch by epoch, from its raw outputs.

Shapes: out_BK raw outputs (K is 1 but for several classes), y_B class numbers, shares or scaled values. Of a large
part every n-th row is looked at, so that watching costs next to nothing. Deterministic: yes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.learning.tasks import Head

SCORED_ROWS = 20_000

Score = Callable[[Tensor, Tensor], dict[str, float]]


def scored_every(num_rows: int) -> int:
    """Return n, of every n-th row that is looked at."""
    return -(-num_rows // SCORED_ROWS)


def make_score(head: Head) -> Score:
    """Return the function (out_BK, y_B) -> figures by name: accuracy and ROC-AUC, or the error in the target's unit."""

    def binary(out_BK: Tensor, y_B: Tensor) -> dict[str, float]:
        second_B, is_second_B = out_BK[:, 0].double().numpy(), y_B.numpy() > 0
        auc = roc_auc(second_B, is_second_B)
        accuracy = float(((second_B > 0) == is_second_B).mean())
        return {"validation_accuracy": accuracy} | ({} if math.isnan(auc) else {"validation_roc_auc": auc})

    def multiclass(out_BK: Tensor, y_B: Tensor) -> dict[str, float]:
        return {"validation_accuracy": (out_BK.argmax(dim=1) == y_B).double().mean().item()}

    def error(out_BK: Tensor, y_B: Tensor) -> dict[str, float]:
        told_B = torch.sigmoid(out_BK[:, 0]) if head.task == "soft" else out_BK[:, 0]
        rmse = (told_B - y_B).double().square().mean().sqrt().item() * head.scale
        return {"validation_rmse": rmse} if math.isfinite(rmse) else {}

    return {"binary": binary, "multiclass": multiclass, "regression": error, "soft": error}[head.task]


def roc_auc(score_B: NDArray[np.float64], is_positive_B: NDArray[np.bool_]) -> float:
    """Return the share of pairs of a positive and a negative row that the scores put in order, ties by half.

    NaN without such a pair. Source: Mann and Whitney, 1947.
    """
    negative, positive = np.sort(score_B[~is_positive_B]), score_B[is_positive_B]
    if not len(negative) or not len(positive):
        return math.nan
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.sum() / 2 / (len(positive) * len(negative)))
