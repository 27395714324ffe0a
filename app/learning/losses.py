"""The losses J that training minimises, on raw outputs of a network.

Shapes: out_BK raw outputs (K is 1 but for several classes), y_B class numbers, shares or scaled values,
w_B weights of the rows. Each returns the mean over rows, a scalar. A network of M members may answer (B, M, K) while it
is trained: the loss then is the mean of the members' losses. Deterministic: yes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
MEMBERS_NDIM = 3


def make_loss(name: str, task: str, *, label_smoothing: float = 0.0) -> Loss:
    """Return the function (out_BK, y_B, w_B or None) -> J for a resolved loss name (never `auto`)."""

    def loss(out_BK: Tensor, y_B: Tensor, w_B: Tensor | None) -> Tensor:
        if out_BK.ndim == MEMBERS_NDIM:
            num_members = out_BK.shape[1]
            out_BK, y_B = out_BK.flatten(0, 1), y_B.repeat_interleave(num_members)
            w_B = None if w_B is None else w_B.repeat_interleave(num_members)
        rows_B = per_row(out_BK, y_B)
        return rows_B.mean() if w_B is None else (rows_B * w_B).mean()

    def several(out_BK: Tensor, y_B: Tensor) -> Tensor:
        return functional.cross_entropy(out_BK, y_B, reduction="none", label_smoothing=label_smoothing)

    def logistic(out_BK: Tensor, y_B: Tensor) -> Tensor:
        smooth_B = y_B * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_B
        return functional.binary_cross_entropy_with_logits(out_BK[:, 0], smooth_B, reduction="none")

    def squared(out_BK: Tensor, y_B: Tensor) -> Tensor:
        share_or_value_B = out_BK[:, 0] if task == "regression" else torch.sigmoid(out_BK[:, 0])
        return (share_or_value_B - y_B) ** 2

    def absolute(out_BK: Tensor, y_B: Tensor) -> Tensor:
        return functional.l1_loss(out_BK[:, 0], y_B, reduction="none")

    def huber(out_BK: Tensor, y_B: Tensor) -> Tensor:
        return functional.huber_loss(out_BK[:, 0], y_B, reduction="none")

    cross_entropy = several if task == "multiclass" else logistic
    per_row = {"cross_entropy": cross_entropy, "mse": squared, "mae": absolute, "huber": huber}[name]
    return loss


def balanced_weights(classes_B: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return w_K that gives every class the same total weight, with mean 1 over these rows.

    Source: King and Zeng, Logistic regression in rare events data, Political Analysis 9(2), 2001.
    """
    counts = np.bincount(classes_B, minlength=num_classes)
    return len(classes_B) / (np.count_nonzero(counts) * np.maximum(counts, 1))
