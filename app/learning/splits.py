"""What a request may say about which rows train, which validate and which test, checked against its data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from app.learning.data import NUMBER_TYPES, Column
from app.learning.errors import LearningError, shown
from app.learning.policies import STRICT
from app.learning.spec import CLASSIFICATION, Task, inconsistent

Method = Literal["stratified", "random", "column", "time", "group", "folds"]
BY_COLUMN = frozenset({"column", "time", "group"})
TIME_TYPES = frozenset({"datetime", "integer", "real"})
MAX_FOLDS = 1000


class Split(BaseModel):
    """How the rows of a data set are divided."""

    model_config = STRICT

    method: Method | None = Field(None, description="null: stratified for classification, random otherwise.")
    validation: float = Field(0.15, ge=0.0, le=0.9, description="Share of rows that choose the best epoch.")
    test: float = Field(0.15, ge=0.0, le=0.9, description="Share of rows that only measure; of folds it is one fold.")
    column: str | None = Field(
        None, description="The words train, validation and test; or the times; or the groups (of folds, too)."
    )
    folds: int | None = Field(None, ge=2, le=MAX_FOLDS, description="How many parts of equal size there are.")
    fold: int | None = Field(None, ge=0, description="The one of them that tests, counted from 0.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.column is None and self.method in BY_COLUMN:
            raise inconsistent("column", f"method={self.method} needs a column")
        if self.column is not None and self.method not in BY_COLUMN | {"folds"}:
            raise inconsistent("column", "a column belongs to method column, time, group or folds")
        self._check_folds()
        if self.validation + self.test_share > 0.95:
            raise ValueError("validation and test together leave too little to train on")
        return self

    def _check_folds(self) -> None:
        for name, value in (("folds", self.folds), ("fold", self.fold)):
            if (value is None) == (self.method == "folds"):
                raise inconsistent(name, f"method=folds and {name} belong together")
        if self.folds is not None and self.fold is not None:
            if self.fold >= self.folds:
                raise inconsistent("fold", f"of {self.folds} folds the last is {self.folds - 1}")
            if "test" in self.model_fields_set and self.test != self.test_share:
                raise inconsistent("test", "the test part is one fold: leave test out")

    @property
    def test_share(self) -> float:
        """The share of rows that test: of folds, one of them."""
        return self.test if self.folds is None else 1.0 / self.folds


def resolve_split(split: Split, task: Task, columns: Sequence[Column], target: str, num_rows: int) -> Split:
    """Return the split with its method filled in.

    Raises: LearningError pointing below /split when it does not fit the task or the columns.
    """
    if split.method == "stratified" and task not in CLASSIFICATION:
        raise LearningError("A stratified split needs classes.", pointer="/split/method")
    if split.folds is not None and split.folds > num_rows:
        raise LearningError(f"{num_rows} rows cannot make {split.folds} folds.", pointer="/split/folds")
    if split.column is not None:
        _check_column(split, split.column, columns, target)
    method = split.method or ("stratified" if task in CLASSIFICATION else "random")
    return split.model_copy(update={"method": method, "test": split.test_share})


def _check_column(split: Split, name: str, columns: Sequence[Column], target: str) -> None:
    column = next((column for column in columns if column["name"] == name), None)
    if column is None:
        _refuse(f"The data set has no column {shown(name)}.")
    elif name == target:
        _refuse("The target cannot say how the rows are divided.")
    elif split.method == "column" and column["type"] in NUMBER_TYPES:
        _refuse("The split column must hold train, validation or test.")
    elif split.method == "time" and column["type"] not in TIME_TYPES:
        _refuse(f"A column of type {column['type']} has no order in time; date-times or numbers have.")
    elif split.method != "column" and (column.get("num_distinct") or 2) < 2:
        _refuse(f"Every row has the same value in column {shown(name)}: it divides nothing.")
    elif split.folds is not None and (column.get("num_distinct") or split.folds) < split.folds:
        groups = f"{column['num_distinct']} groups cannot make {split.folds} folds."
        raise LearningError(groups, pointer="/split/folds")


def _refuse(detail: str) -> None:
    raise LearningError(detail, pointer="/split/column")
