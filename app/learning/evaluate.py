"""Measure a trained network on every part of the data, beside the constant answer as baseline.

Deterministic: yes. Classification is measured on probabilities, regression in the target's own units.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from app.learning import metrics
from app.learning.export import Answer
from app.learning.learned import outputs
from app.learning.metrics import Metrics
from app.learning.prepared import Prepared, Rows
from app.learning.spec import CLASSIFICATION
from app.learning.tasks import Head


def evaluate(answer: Answer, prepared: Prepared) -> dict[str, dict[str, Metrics] | Metrics]:
    """Return metrics by part (empty for an empty part), and the baseline's under `baseline` by part."""
    head, rows = prepared.head, prepared.rows
    measured: dict[str, Metrics] = {}
    baseline: dict[str, Metrics] = {}
    for part, part_rows in rows.items():
        filled = len(part_rows) > 0
        measured[part] = _measure(predict(answer, part_rows), part_rows, head) if filled else {}
        baseline[part] = _measure(_constant(rows["train"], len(part_rows), head), part_rows, head) if filled else {}
    return {**measured, "baseline": baseline}


def predict(answer: Answer, rows: Rows) -> NDArray[np.float64]:
    """Return the answers (rows, outputs) of a network, in batches."""
    return outputs(answer, torch.from_numpy(rows.x_BF))


def _measure(answers: NDArray[np.float64], rows: Rows, head: Head) -> Metrics:
    if head.task in CLASSIFICATION:
        return metrics.classification(answers, rows.learned_B.astype(np.int64))
    values = answers[:, 0] * head.scale + head.shift
    return metrics.soft(values, rows.values_B) if head.task == "soft" else metrics.regression(values, rows.values_B)


def _constant(train: Rows, num_rows: int, head: Head) -> NDArray[np.float64]:
    if head.task in CLASSIFICATION:
        return metrics.constant_probabilities(train.learned_B.astype(np.int64), len(head.classes), num_rows)
    return metrics.constant_values(train.learned_B, num_rows)[:, None]
