"""Rows as CSV: a line of column names, then a line for each row, read as uploads are read when types are known."""

from __future__ import annotations

import csv
import io
from typing import Any

from app.errors import Malformed
from app.learning.preprocess import Preparation
from app.learning.values import BOOLEANS, NUMBER
from app.predictions.protocols.questions import Question
from app.predictions.protocols.refusals import check_num_rows, refused

# What uploads take for a missing value, too.
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "Null", "None", "#N/A", "<NA>"})


def read(body: bytes, *, max_rows: int) -> Question:
    """The question of a CSV file; a value is at /data/row/column, both from 0. Raises: Malformed; Invalid; TooLarge."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8 at byte {error.start}.") from None
    columns: list[str] | None = None
    data: list[list[str]] = []
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for line in lines:
            if columns is None:
                columns = line
            elif line or len(columns) == 1:
                data.append(line or [""])
                check_num_rows(len(data), max_rows)
    except csv.Error as error:
        raise Malformed(f"The body is not CSV: {error} at line {lines.line_num}.") from None
    if columns is None or not data:
        raise refused("/data", "expected a line of column names and at least one row")
    names, rows = columns, data
    return Question(
        len(rows),
        lambda it: it.predict_matrix(names, _typed(names, rows, it.preparation)),
        lambda it: {"columns": names, "data": _typed(names, rows, it.preparation)},
    )


def _typed(names: list[str], rows: list[list[str]], preparation: Preparation) -> list[list[Any]]:
    types = {column.name: column.stored for column in preparation.inputs}
    kinds = [types.get(name, "") for name in names]
    # A line of another length is left as it is, to be refused with its number.
    return [list(map(_cell, row, kinds)) if len(row) == len(kinds) else row for row in rows]


def _cell(text: str, stored: str) -> Any:
    """A cell as JSON would have it; what its type cannot be stays text, and is refused or imputed as that."""
    if text in MISSING:
        return None
    if stored in ("integer", "real") and NUMBER.fullmatch(text):
        return float(text)
    return bool(BOOLEANS[text.lower()]) if stored == "boolean" and text.lower() in BOOLEANS else text
