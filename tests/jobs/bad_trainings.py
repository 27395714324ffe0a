"""A data set and a request for each row of the table in docs/reference/bad-input.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

QUICK: dict[str, Any] = {"hidden": [8], "epochs": 3}
DIVERGING = {"hidden": [64] * 4, "activation": "identity", "optimizer": "sgd", "momentum": 0.99, "learning_rate": 1e3}
NUM_ROWS = 60


@dataclass(frozen=True)
class Bad:
    """A table as CSV, made only when it is needed, and what is asked of it."""

    make: Callable[[], str]
    request: dict[str, Any] = field(default_factory=dict)
    types: str = ""


def table(**columns: list[Any]) -> str:
    """Columns of one length as CSV; None is a missing value."""
    lines = [",".join(columns)]
    for row in zip(*columns.values(), strict=True):
        lines.append(",".join("" if value is None else str(value) for value in row))
    return "\n".join(lines) + "\n"


def numbers(num_rows: int = NUM_ROWS) -> list[float]:
    """Numbers that look like a measurement."""
    return [float(value) for value in np.random.default_rng(3).normal(size=num_rows).round(4)]


def words(*names: str, num_rows: int = NUM_ROWS) -> list[str]:
    """These names in turn."""
    return [names[row % len(names)] for row in range(num_rows)]


def good(**more: list[Any]) -> Callable[[], str]:
    """A table that can be learned, with more columns or others."""
    return lambda: table(**{"x": numbers(), "z": numbers()[::-1], "y": words("a", "b"), **more})


def ids(num_rows: int) -> list[str]:
    """A name of its own for every row."""
    return [f"n{row * 7919 % num_rows:06}" for row in range(num_rows)]


def waves(num_rows: int) -> str:
    """A regression of many rows."""
    return table(x=numbers(num_rows), z=numbers(num_rows)[::-1], y=numbers(num_rows))


def split(*names: str) -> list[str]:
    """A column that divides the rows in this order, in blocks."""
    return [names[row * len(names) // NUM_ROWS] for row in range(NUM_ROWS)]


BAD_TRAININGS: dict[str, Bad] = {
    "no-such-target": Bad(good(), {"target": "price"}),
    "target-is-text": Bad(
        lambda: table(x=numbers(), y=[f"a long sentence number {i}" for i in range(NUM_ROWS)]), types='{"y": "text"}'
    ),
    "target-all-missing": Bad(good(y=[None] * NUM_ROWS)),
    "target-mostly-missing": Bad(good(y=["a"] + [None] * (NUM_ROWS - 2) + ["b"])),
    "target-constant": Bad(good(y=[7.5] * NUM_ROWS)),
    "one-class": Bad(good(y=words("a"))),
    "one-example-of-a-class": Bad(good(y=[*words("a", "b")[1:], "c"])),
    "a-class-for-every-row": Bad(good(y=ids(NUM_ROWS)), types='{"y": "category"}'),
    "too-many-classes": Bad(lambda: table(x=numbers(5000), y=ids(5000)[:2500] * 2), types='{"y": "category"}'),
    "wrong-task": Bad(good(), {"task": "regression"}),
    "soft-out-of-range": Bad(good(y=numbers()), {"task": "soft"}),
    "target-too-large": Bad(good(y=[1e308 * (-1) ** i for i in range(NUM_ROWS)])),
    "no-such-data-set": Bad(good(), {"dataset": "ds_nowhere"}),
    "one-row": Bad(lambda: "x,y\n1,2\n"),
    "two-rows": Bad(lambda: "x,y\n1,2\n2,5\n"),
    "two-rows-two-classes": Bad(lambda: "x,y\n1,a\n2,b\n"),
    "fewer-rows-than-a-batch": Bad(good(), {"params": QUICK | {"batch_size": 1024}}),
    "null-feature": Bad(good(z=[None] * NUM_ROWS)),
    "constant-feature": Bad(good(z=[3] * NUM_ROWS)),
    "no-feature-left": Bad(good(x=[None] * NUM_ROWS, z=[3] * NUM_ROWS)),
    "only-the-target": Bad(lambda: table(y=words("a", "b"))),
    "every-column-excluded": Bad(good(), {"preparation": {"columns": {"x": {"use": False}, "z": {"use": False}}}}),
    "values-too-large": Bad(good(x=[1e308 * (-1) ** i for i in range(NUM_ROWS)])),
    "very-many-categories": Bad(
        lambda: table(x=numbers(20000), c=ids(20000), y=words("a", "b", num_rows=20000)),
        {"params": QUICK | {"epochs": 1}},
    ),
    "very-many-categories-forced": Bad(
        lambda: table(x=numbers(20000), c=ids(20000), y=words("a", "b", num_rows=20000)),
        {"params": QUICK | {"epochs": 1}},
        types='{"c": "category"}',
    ),
    "no-such-split-column": Bad(good(), {"split": {"method": "group", "column": "patient"}}),
    "split-column-with-gaps": Bad(
        good(g=[None, *words("p", "q", "r")[1:]]), {"split": {"method": "group", "column": "g"}}
    ),
    "time-that-stands-still": Bad(good(t=["2024-01-01"] * NUM_ROWS), {"split": {"method": "time", "column": "t"}}),
    "more-folds-than-rows": Bad(good(), {"split": {"method": "folds", "folds": 100, "fold": 0}}),
    "no-row-to-train-on": Bad(
        good(part=split("validation", "test")), {"split": {"method": "column", "column": "part"}}
    ),
    "an-empty-part": Bad(good(part=split("train", "validation")), {"split": {"method": "column", "column": "part"}}),
    "no-validation-part": Bad(good(part=split("train", "test")), {"split": {"method": "column", "column": "part"}}),
    "class-only-in-the-test-part": Bad(
        good(y=[*words("a", "b")[:-2], "c", "c"], part=split("train", "train", "validation", "test")),
        {"split": {"method": "column", "column": "part"}},
    ),
    "one-class-in-the-training-part": Bad(
        good(y=split("a", "a", "b", "b"), part=split("train", "train", "validation", "test")),
        {"split": {"method": "column", "column": "part"}},
    ),
    "two-groups": Bad(good(g=split("p", "q")), {"split": {"method": "group", "column": "g"}}),
    "layer-of-a-billion-units": Bad(good(), {"params": {"hidden": [10**9]}}),
    "too-many-parameters": Bad(good(), {"params": {"hidden": [65536, 65536]}}),
    "diverging-late": Bad(
        good(y=numbers()), {"spec": "linear", "params": {"optimizer": "gd", "learning_rate": 1.01, "epochs": 100_000}}
    ),
    "diverging": Bad(good(y=numbers()), {"params": DIVERGING | {"epochs": 200}}),
    "out-of-memory": Bad(
        good(), {"params": {"hidden": [6000, 6000], "epochs": 3}, "limits": {"memory_bytes": 256 << 20}}
    ),
    "too-little-time": Bad(
        lambda: waves(20_000), {"params": {"epochs": 100_000, "early_stopping": None}, "limits": {"wall_seconds": 1}}
    ),
}
