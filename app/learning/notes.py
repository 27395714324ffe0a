"""What is remarkable about rows: warnings that ride along, problems that refuse; one way in, two readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypedDict

from app.learning.errors import InputError, LearningError, json_pointer, shown

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


class NoteTaker(Protocol):
    """Who is told what a policy finds in the cells of a table."""

    def warn(self, rows: Iterable[int], column: str, code: str, detail: str) -> None:
        """These rows are used, though something is odd."""

    def refuse(self, rows: Iterable[int], column: str | None, detail: str) -> None:
        """These rows cannot be used."""


class Notes:
    """For a prediction. Collects warnings per row and the first problems; `pointer` points at a cell."""

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


@dataclass(slots=True)
class Counted:
    """How many rows of a column came with one warning, and the first of them."""

    first_row: int
    detail: str
    num_rows: int = 0


class TrainingNotes:
    """For a training. Counts warnings by column and code; the first row that is refused ends it."""

    def __init__(self) -> None:
        self.warnings: dict[tuple[str, str], Counted] = {}

    def warn(self, rows: Iterable[int], column: str, code: str, detail: str) -> None:
        """Count these rows."""
        for row in rows:
            self.warnings.setdefault((column, code), Counted(row, detail)).num_rows += 1

    def refuse(self, rows: Iterable[int], column: str | None, detail: str) -> None:
        """Raise LearningError for the first of these rows."""
        for row in rows:
            raise LearningError(
                f"Row {row + 1}, column {shown(column)}: {detail}.",
                pointer=json_pointer("preparation", "columns", column or ""),
            )
