"""Which task a target column means, and the target's values as a network learns them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.data import Column, Values
from app.learning.errors import LearningError, shown
from app.learning.spec import CLASSIFICATION, Task

CLASS_TYPES = frozenset({"category", "boolean", "integer"})
VALUE_TYPES = frozenset({"integer", "real", "boolean"})
MAX_INTEGER_CLASSES = 20
MIN_ROWS_PER_INTEGER_CLASS = 5
MIN_SOFT_RANGE = 0.5
LARGEST_EXACT_INTEGER = 2**53

Label = str | bool | int
Targets = NDArray[np.float64]


def choose_task(target: Column, task: str | None, num_rows: int) -> Task:
    """Return the task that was asked for, or the one that the target's type and values suggest.

    Categories and truth values are classes; so are whole numbers with few distinct values (at most 20, each
    for at least five rows on average). Other numbers are a regression, or `soft` where a real column lies in
    [0, 1] and covers at least half of it.
    Raises: LearningError pointing at /target or /task when they do not fit.
    """
    _check_target(target)
    chosen = _infer(target, num_rows) if task is None else task
    if chosen in CLASSIFICATION:
        _check_classes(target, chosen, num_rows - int(target.get("num_missing") or 0))
    elif chosen in ("regression", "soft"):
        _check_values(target, chosen)
    else:
        raise LearningError(
            f"There is no task {shown(chosen)}; there are: binary, multiclass, regression, soft.", pointer="/task"
        )
    return chosen  # type: ignore[return-value]


def _check_target(target: Column) -> None:
    if target["type"] not in CLASS_TYPES | VALUE_TYPES:
        raise LearningError(
            f"A column of type {target['type']} cannot be learned; the target must hold categories or numbers.",
            pointer="/target",
        )
    num_distinct = target.get("num_distinct")
    if num_distinct == 0:
        raise LearningError("No row has a value in the target: there is nothing to learn.", pointer="/target")
    if num_distinct is not None and num_distinct < 2:
        raise LearningError("All rows have the same target: there is nothing to learn.", pointer="/target")


def _infer(target: Column, num_rows: int) -> str:
    num_distinct = target.get("num_distinct")
    if target["type"] == "boolean":
        return "binary"
    if target["type"] == "category":
        return "binary" if num_distinct == 2 else "multiclass"
    if target["type"] == "integer":
        most = min(MAX_INTEGER_CLASSES, num_rows // MIN_ROWS_PER_INTEGER_CLASS)
        if num_distinct is not None and num_distinct <= most:
            return "binary" if num_distinct == 2 else "multiclass"
        return "regression"
    low, high = target.get("min"), target.get("max")
    if low is None or high is None:
        return "regression"
    return "soft" if low >= 0 and high <= 1 and high - low >= MIN_SOFT_RANGE else "regression"


def _check_classes(target: Column, task: str, num_rows: int) -> None:
    if target["type"] not in CLASS_TYPES:
        raise LearningError(f"The task {task} needs classes; {target['type']} values are none.", pointer="/task")
    num_distinct = target.get("num_distinct")
    if task == "binary" and num_distinct not in (None, 2):
        raise LearningError(f"The task binary needs two classes; the target has {num_distinct}.", pointer="/task")
    if task == "multiclass" and num_distinct is not None and num_distinct >= num_rows:
        message = f"Every one of {num_rows} rows has a class of its own: there is nothing to learn."
        raise LearningError(message, pointer="/target")


def _check_values(target: Column, task: str) -> None:
    if target["type"] not in VALUE_TYPES:
        raise LearningError(f"The task {task} needs numbers; the target is a {target['type']}.", pointer="/task")
    low, high = target.get("min"), target.get("max")
    outside = low is not None and high is not None and not (low >= 0 and high <= 1)
    if task == "soft" and target["type"] != "boolean" and outside:
        raise LearningError("The task soft needs targets in [0, 1].", pointer="/task")


@dataclass(frozen=True, slots=True)
class Head:
    """How raw outputs and answers correspond: classes, or a value as shift + scale * output."""

    task: Task
    classes: tuple[Label, ...] = ()
    shift: float = 0.0
    scale: float = 1.0

    @property
    def num_outputs(self) -> int:
        """Return the width of the network's last layer."""
        return len(self.classes) if self.task == "multiclass" else 1

    def to_json(self) -> dict[str, Any]:
        """Return the head as JSON."""
        return {"task": self.task, "classes": list(self.classes) or None, "shift": self.shift, "scale": self.scale}


def fit_head(values: Values, column_type: str, task: Task, *, scaling: str) -> Head:
    """Learn classes or scale from the targets (n,) of the training rows, none of them missing.

    Raises: LearningError when they are constant, out of range or too large.
    """
    if task in CLASSIFICATION:
        classes = labels(np.unique(values).tolist(), column_type)
        if len(classes) < 2:
            message = f"All training rows have the class {shown(classes[0])}: there is nothing to tell apart."
            raise LearningError(message, pointer="/target")
        if task == "binary" and len(classes) != 2:
            message = f"The training rows have {len(classes)} classes; the task binary needs two."
            raise LearningError(message, pointer="/target")
        return Head(task, classes)
    if values.min() == values.max():
        raise LearningError("All training rows have the same target: there is nothing to learn.", pointer="/target")
    if task == "soft":
        if values.min() < 0 or values.max() > 1:
            raise LearningError("The task soft needs targets in [0, 1].", pointer="/target")
        return Head(task)
    with np.errstate(over="ignore", invalid="ignore"):
        shift, scale = (float(values.mean()), float(values.std())) if scaling == "standard" else (0.0, 1.0)
    if not (math.isfinite(shift) and math.isfinite(scale) and scale > 0):
        raise LearningError("The target's values are too large to be scaled.", pointer="/target")
    return Head(task, (), shift, scale)


def labels(values: Sequence[Any], column_type: str) -> tuple[Label, ...]:
    """Return stored target values as JSON labels. Raises: LearningError for integers beyond 2^53."""
    if column_type == "boolean":
        return tuple(bool(value) for value in values)
    if column_type == "integer":
        if any(abs(value) > LARGEST_EXACT_INTEGER for value in values):
            raise LearningError("Integer classes beyond 2^53 cannot be told apart.", pointer="/target")
        return tuple(int(value) for value in values)
    return tuple(values)


def encode_targets(values: Values, head: Head) -> tuple[Targets, NDArray[np.bool_]]:
    """Return the targets (n,) as learned (class number, or scaled value), and which rows have a known class."""
    if head.task not in CLASSIFICATION:
        return (values - head.shift) / head.scale, np.ones(len(values), np.bool_)
    numbers = {label: number for number, label in enumerate(head.classes)}
    encoded = np.array([numbers.get(value, -1) for value in values.tolist()], dtype=np.float64)
    return encoded, encoded >= 0
