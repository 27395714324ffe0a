"""What a model answered to rows whose target is known, in the forms that metrics, curves and sets need.

Shapes: out_BK raw outputs of a network, y_BK its answers: probabilities of K classes, or one value in the scale it was
learned. Deterministic: yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.learning.data import Values
from app.learning.metrics import Classification, Floats, Integers, Regression, Scores, Soft
from app.learning.spec import CLASSIFICATION, Task
from app.learning.tasks import Head, Targets


@dataclass(frozen=True)
class Answered:
    """Answers y_BK beside the truth: targets as learned (class numbers), and in their own units."""

    head: Head
    y_BK: Floats
    learned_B: Targets
    values_B: Values

    def __len__(self) -> int:
        return len(self.y_BK)

    @property
    def is_classification(self) -> bool:
        """Whether the answers are probabilities of classes."""
        return self.head.task in CLASSIFICATION

    @cached_property
    def classes_B(self) -> Integers:
        """The numbers of the true classes."""
        return self.learned_B.astype(np.int64)

    @cached_property
    def values_predicted_B(self) -> Floats:
        """The answers of a regression in the units of the target."""
        predicted_B: Floats = self.y_BK[:, 0] * self.head.scale + self.head.shift
        return predicted_B

    @cached_property
    def errors_B(self) -> Floats:
        """What a regression was off: the truth minus the answer."""
        errors_B: Floats = self.values_B.astype(np.float64) - self.values_predicted_B
        return errors_B

    def scores(self, offsets: Floats | None = None) -> Scores:
        """The metrics of these answers; `offsets` are the quantiles of errors on held-out rows."""
        if self.is_classification:
            return Classification(self.y_BK, self.classes_B)
        kind = Soft if self.head.task == "soft" else Regression
        return kind(self.values_predicted_B, self.values_B.astype(np.float64), offsets)

    def take(self, rows_I: NDArray[np.intp] | NDArray[np.bool_]) -> Answered:
        """The answers to some of the rows."""
        return Answered(self.head, self.y_BK[rows_I], self.learned_B[rows_I], self.values_B[rows_I])


def answers_of(out_BK: Floats, task: Task, temperature: float = 1.0) -> Floats:
    """Return what raw outputs mean: y_BK, with probabilities at a temperature (see calibration.py)."""
    if task in CLASSIFICATION:
        return softmax(logits_of(out_BK, task) / temperature)
    return sigmoid(out_BK) if task == "soft" else out_BK


def logits_of(out_BK: Floats, task: Task) -> Floats:
    """Return one logit for every class; a binary network has one output, which is that of its second class."""
    return np.concatenate([np.zeros_like(out_BK), out_BK], axis=1) if task == "binary" else out_BK


def softmax(logits_BK: Floats) -> Floats:
    """Return the probabilities of logits."""
    powers_BK = np.exp(logits_BK - logits_BK.max(axis=1, keepdims=True))
    p_BK: Floats = powers_BK / powers_BK.sum(axis=1, keepdims=True)
    return p_BK


def sigmoid(z_BK: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.exp(-np.logaddexp(0.0, -z_BK))
