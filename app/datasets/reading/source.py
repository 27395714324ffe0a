"""What a reader hands to type inference: a relation of columns c0, c1, … and what may be in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# The types a text cell can turn out to be, most specific first; a cell that is none of them is a string.
ANY_CELL = ("boolean", "integer", "real", "datetime")
NUMBER_CELL = ("integer", "real")
BOOLEAN_CELL = ("boolean",)
STRING_CELL = ("datetime",)


@dataclass(frozen=True)
class Dialect:
    """How a file is written, as far as its bytes do not tell: options.ReadOptions without the types."""

    delimiter: str = "auto"
    encoding: str = "auto"
    header: bool = True
    on_bad_lines: str = "reject"
    sheet: str | None = None
    missing_values: Sequence[str] = ()


PLAIN = Dialect()


@dataclass(frozen=True)
class Column:
    """One column of a source: SQL for its cells as text, and candidate types or one that is known already.

    Where words for missing values make `cell` costly, `written` is the text with these words still in it.
    A known type `stored` comes with `value`, SQL for the cell in that type, and `accepts`, SQL that is true
    for missing cells and for those which have such a value.
    """

    name: str
    cell: str
    candidates: tuple[str, ...] = ()
    stored: str | None = None
    value: str = ""
    accepts: str = "true"
    written: str = ""

    @property
    def raw(self) -> str:
        """SQL for the text as it is written; at hand without work, but some of it may mean that it is missing."""
        return self.written or self.cell


@dataclass
class Source:
    """A readable table: its SQL relation, its columns, how it was read, and late looks at lines that are no rows.

    `leave_out_bad_lines` is told the number of rows that were written and adds to details and warnings.
    `num_rows_per_unit` is about how many rows the engine reads at a time, where that is known.
    """

    relation: str
    columns: list[Column]
    details: dict[str, Any]
    warnings: list[dict[str, str | None]] = field(default_factory=list)
    refuse_bad_lines: Callable[[], None] = lambda: None
    leave_out_bad_lines: Callable[[int], None] = lambda num_rows: None
    num_rows_per_unit: int | None = None
