"""What a reader hands to type inference: a relation of columns c0, c1, … and what may be in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# The types a text cell can turn out to be, most specific first; a cell that is none of them is a string.
ANY_CELL = ("boolean", "integer", "real", "datetime")
NUMBER_CELL = ("integer", "real")
BOOLEAN_CELL = ("boolean",)
STRING_CELL = ("datetime",)


@dataclass(frozen=True)
class Column:
    """One column of a source: SQL for its cells as text, and candidate types or one that is known already.

    A known type `stored` comes with `value`, SQL for the cell in that type, and `accepts`, SQL that is true
    for missing cells and for those which have such a value.
    """

    name: str
    cell: str
    candidates: tuple[str, ...] = ()
    stored: str | None = None
    value: str = ""
    accepts: str = "true"


@dataclass
class Source:
    """A readable table: its SQL relation, its columns, how it was read, and a late check for bad lines."""

    relation: str
    columns: list[Column]
    details: dict[str, Any]
    warnings: list[dict[str, str | None]] = field(default_factory=list)
    refuse_bad_lines: Callable[[], None] = lambda: None
