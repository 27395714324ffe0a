"""What a study can aim at: the metrics of the validation part by task, and whether they are to grow or to shrink."""

from __future__ import annotations

from typing import Literal

from app.learning.errors import LearningError, shown
from app.learning.spec import Task

Direction = Literal["minimize", "maximize"]
_SHRINKING = ("log_loss", "brier", "rmse", "mae")
_SCORES = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc")
# The first of each is what a study aims at unless told otherwise: a proper score, or the error that is squared.
METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("log_loss", *_SCORES, "brier"),
    "multiclass": ("log_loss", *_SCORES),
    "regression": ("rmse", "mae", "r2"),
    "soft": ("log_loss", "rmse", "mae", "r2"),
}


def objective(task: Task, metric: str | None, direction: Direction | None) -> tuple[str, Direction]:
    """Return the metric to aim at and its direction.

    Raises: LearningError at /metric when the task has no such metric, at /direction when it goes the other way.
    """
    chosen = METRICS[task][0] if metric is None else metric
    if chosen not in METRICS[task]:
        message = f"Task {task} has no metric {shown(chosen)}; it has: {', '.join(METRICS[task])}."
        raise LearningError(message, pointer="/metric")
    natural: Direction = "minimize" if chosen in _SHRINKING else "maximize"
    if direction not in (None, natural):
        raise LearningError(f"Of {chosen} the best is what {natural}s it.", pointer="/direction")
    return chosen, natural
