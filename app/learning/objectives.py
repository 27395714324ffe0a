"""What a study can aim at: the metrics of the validation part by task, and whether they are to grow or to shrink."""

from __future__ import annotations

from typing import Literal

from app.learning.errors import LearningError, shown
from app.learning.metrics import HIGHER_IS_BETTER
from app.learning.spec import Task

Direction = Literal["minimize", "maximize"]
_OF_CLASSES = ("log_loss", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "pr_auc", "brier", "ece")
_OF_NUMBERS = ("rmse", "mae", "r2", "pinball")
# The first of each is what a study aims at unless told otherwise: a proper score, or the error that is squared.
METRICS: dict[Task, tuple[str, ...]] = {
    "binary": _OF_CLASSES,
    "multiclass": _OF_CLASSES,
    "regression": _OF_NUMBERS,
    "soft": ("log_loss", *_OF_NUMBERS),
}


def objective(task: Task, metric: str | None, direction: Direction | None) -> tuple[str, Direction]:
    """Return the metric to aim at and its direction.

    Raises: LearningError at /metric when the task has no such metric, at /direction when it goes the other way.
    """
    chosen = METRICS[task][0] if metric is None else metric
    if chosen not in METRICS[task]:
        message = f"Task {task} has no metric {shown(chosen)}; it has: {', '.join(METRICS[task])}."
        raise LearningError(message, pointer="/metric")
    natural: Direction = "maximize" if chosen in HIGHER_IS_BETTER else "minimize"
    if direction not in (None, natural):
        raise LearningError(f"Of {chosen} the best is what {natural}s it.", pointer="/direction")
    return chosen, natural
