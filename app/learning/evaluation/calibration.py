"""Probabilities that mean what they say: one temperature by which the raw outputs are divided.

It is the minimum of the log-loss on rows that were held out, which in 1/T is convex, found by bisection. One more row
of a uniform target keeps few, perfectly answered rows from making the model certain, as Platt's targets do. No order of
answers changes, and no weight. Deterministic: yes.
Source: Guo et al., ICML 2017, arXiv 1706.04599; Platt, Advances in Large Margin Classifiers, 1999, for the targets.
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np

from app.learning.evaluation.answered import logits_of, softmax
from app.learning.metrics import Floats, Integers, expected_calibration_error, log_loss
from app.learning.spec import Task

LEAST_ROWS = 20
LOWEST, HIGHEST = 0.02, 50.0
NUM_HALVINGS = 40
# Of more cells than this every second, third … row is enough for one number.
MOST_CELLS = 4_000_000


class Calibration(TypedDict):
    """What was done to the probabilities, measured on the rows it was learned from."""

    method: str
    temperature: float
    log_loss_before: float
    log_loss_after: float
    ece_before: float
    ece_after: float
    num_rows: int


def calibrate(out_BK: Floats, y_B: Integers, task: Task) -> Calibration | None:
    """Return the calibration of raw outputs out_BK against class numbers y_B, or None for too few rows or one class.

    The log-loss on these rows is never made worse: then the temperature is 1.
    """
    if len(y_B) < LEAST_ROWS or len(np.unique(y_B)) < 2:
        return None
    logits_BK = logits_of(out_BK, task)
    every = math.ceil(logits_BK.size / MOST_CELLS)
    logits_BK, y_B = logits_BK[::every], y_B[::every]
    before_BK = softmax(logits_BK)
    temperature = _coolest(logits_BK, y_B)
    after_BK = softmax(logits_BK / temperature)
    if log_loss(after_BK, y_B) >= log_loss(before_BK, y_B):
        temperature, after_BK = 1.0, before_BK
    return {
        "method": "temperature",
        "temperature": temperature,
        "log_loss_before": log_loss(before_BK, y_B),
        "log_loss_after": log_loss(after_BK, y_B),
        "ece_before": expected_calibration_error(before_BK, y_B),
        "ece_after": expected_calibration_error(after_BK, y_B),
        "num_rows": len(y_B),
    }


def _coolest(logits_BK: Floats, y_B: Integers) -> float:
    """Return the temperature at which the slope of the log-loss in 1/T is zero, or the nearest that is allowed."""
    num_rows = len(logits_BK)
    mean_B = logits_BK.mean(axis=1)
    true_B = logits_BK[np.arange(num_rows), y_B]
    target = (num_rows * true_B.sum() + mean_B.sum()) / (num_rows + 1)
    low, high = math.log(1 / HIGHEST), math.log(1 / LOWEST)
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        expected = (softmax(logits_BK * math.exp(middle)) * logits_BK).sum()
        low, high = (middle, high) if expected < target else (low, middle)
    return math.exp(-(low + high) / 2)
