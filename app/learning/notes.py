"""What is remarkable about the rows of one prediction: warnings that ride along, problems that refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypedDict

from app.learning.errors import InputError, json_pointer

MAX_PROBLEMS = 20
Pointer = Callable[[int, str | None], str]


class Warned(TypedDict):
    """One warning about one value of one row."""

    column: str
    code: str
    detail: str


def row_pointer(row: int, column: str | None) -> str:
    """Point into {"rows": [{...}]}; without a column, at the row."""
    return json_pointer("rows", row) if column is None else json_pointer("rows", row, column)


class Notes:
    """Collects warnings per row, and the first problems; `pointer` turns a cell into a JSON pointer."""

    def __init__(self, num_rows: int, pointer: Pointer = row_pointer) -> None:
        self.warnings: list[list[Warned]] = [[] for _ in range(num_rows)]
        self._problems: list[tuple[int, str | None, str]] = []
        self._pointer = pointer

    def warn(self, rows: Iterable[int], column: str, code: str, detail: str) -> None:
        """Add the same warning to each of these rows."""
        for row in rows:
            self.warnings[row].append({"column": column, "code": code, "detail": detail})

    def refuse(self, rows: Iterable[int], column: str | None, detail: str) -> None:
        """Note the same problem for each of these rows."""
        for row in rows:
            if len(self._problems) < MAX_PROBLEMS:
                self._problems.append((row, column, detail))

    @property
    def has_problems(self) -> bool:
        """Whether `check` would raise."""
        return bool(self._problems)

    def check(self) -> None:
        """Raise InputError when anything was refused, in the order of the rows."""
        if self._problems:
            problems = sorted(self._problems, key=lambda problem: problem[0])
            raise InputError(
                [{"pointer": self._pointer(row, column), "detail": text} for row, column, text in problems]
            )
