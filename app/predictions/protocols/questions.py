"""Rows to be answered, whatever dialect they came in, and where its body has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.learning.errors import InputError, json_pointer
from app.learning.runtime import Prediction, Predictor
from app.predictions.protocols import options
from app.predictions.protocols.refusals import check_num_rows, refused, unanswerable


@dataclass(frozen=True)
class Question:
    """Rows and how to ask for them; `place` moves the pointers of the predictor to where the body has the value.

    `native` is the body of a native request for the same rows, as the prediction log reads it.
    """

    num_rows: int
    ask: Callable[[Predictor], list[Prediction]]
    native: Callable[[Predictor], dict[str, Any]]
    place: Callable[[str], str] = str

    def answer(self, predictor: Predictor, given: Mapping[str, Any], *, pointer: str = "") -> list[Prediction]:
        """One prediction for each row, under the options that stand at `pointer` of the body. Raises: Invalid."""
        try:
            predictions = self.ask(predictor)
        except InputError as error:
            raise unanswerable(error, self.place) from None
        try:
            options.apply(predictions, given, predictor)
        except InputError as error:
            raise unanswerable(error, lambda found: pointer + found) from None
        return predictions


def of_list(listed: Any, pointer: str, *, max_rows: int) -> Question:
    """The question of an array that holds objects by column name, or arrays in training order. Raises: Invalid."""
    _check_rows(listed, pointer, max_rows)
    if isinstance(listed[0], dict):
        return Question(
            len(listed),
            lambda it: it.predict_rows(listed),
            lambda _: {"rows": listed},
            lambda p: _moved(p, "/rows", pointer),
        )
    if isinstance(listed[0], list):
        return Question(
            len(listed),
            lambda it: it.predict_matrix(None, listed),
            lambda _: {"data": listed},
            lambda p: _moved(p, "/data", pointer),
        )
    raise refused(f"{pointer}/0", "expected an object by column name, or an array in the order of training")


def of_matrix(columns: Any, data: Any, pointer: str, *, max_rows: int) -> Question:
    """The question of rows as arrays under the names of their columns. Raises: Invalid."""
    if not isinstance(columns, list):
        raise refused(f"{pointer}/columns", "expected an array of column names")
    _check_rows(data, f"{pointer}/data", max_rows)
    return Question(
        len(data),
        lambda it: it.predict_matrix(columns, data),
        lambda _: {"columns": columns, "data": data},
        lambda p: pointer + p,
    )


def of_columns(columns: Any, pointer: str, *, max_rows: int) -> Question:
    """The question of columns of equal length by name, of values or of arrays of one value. Raises: Invalid."""
    if not isinstance(columns, dict) or not columns:
        raise refused(pointer, "expected an object with an array for each column")
    read: dict[str, list[Any]] = {}
    for name, values in columns.items():
        place = pointer + json_pointer(name[:64])
        _check_rows(values, place, max_rows)
        first = next(iter(read.values()), values)
        if len(values) != len(first):
            raise refused(place, f"expected {len(first)} values, as in the first column, got {len(values)}")
        is_nested = all(isinstance(value, list) and len(value) == 1 for value in values)
        read[name] = [value[0] for value in values] if is_nested else values
    names, num_rows = list(read), len(next(iter(read.values())))

    def point(row: int, column: str | None) -> str:
        return pointer + json_pointer(column if column in read else names[0], row)

    return Question(
        num_rows,
        lambda it: it.predict_columns(read, num_rows, point),
        lambda _: {"columns": names, "data": list(zip(*read.values(), strict=True))},
    )


def _check_rows(rows: Any, pointer: str, max_rows: int) -> None:
    if not isinstance(rows, list) or not rows:
        raise refused(pointer, "expected an array with at least one row")
    check_num_rows(len(rows), max_rows)


def _moved(found: str, start: str, pointer: str) -> str:
    return pointer + found.removeprefix(start)
