"""A stored table on its way through steps: SQL over SQL, computed only when somebody asks for figures or rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.datasets.asking.stored import PLACE, connect_to, open_stored
from app.datasets.changing.step_columns import stored_columns
from app.datasets.changing.step_text import text_of
from app.datasets.engine import rows
from app.datasets.limits import IngestLimits
from app.datasets.reading.casts import stored_type
from app.datasets.reading.source import Column, Source

# A figure about a cell computes all steps below it anew; from this many on they are computed once and kept.
MAX_DEPTH = 8
# Joins and sorts hold memory that the engine does not count: with more, ten million rows came to the limit.
SHARE_OF_MEMORY = 0.4


class StepTable:
    """The columns of the input `parent` and a relation of their cells with the place of every row; it spills."""

    def __init__(self, inputs: Mapping[str, Path], entries: Sequence[Mapping[str, Any]], limits: IngestLimits) -> None:
        self.connection = connect_to(inputs, limits, SHARE_OF_MEMORY)
        self.columns = stored_columns(entries)
        self.relation = open_stored(self.connection, "parent", entries).view
        self._num_names = 0
        self._aside: list[str] = []
        self._depth: Counter[str] = Counter()
        self._is_shuffled = False
        (self.num_rows,) = self.ask("count(*)")

    def ask(self, figures: str) -> tuple[Any, ...]:
        """One row of figures about the table as it is now."""
        return rows(self.connection, f"SELECT {figures} FROM {self.relation}")[0]

    def set_aside(self, query: str) -> str:
        """The name of a table with what the query answers now."""
        name = self._new_name("aside")
        self._aside.append(name)
        self.connection.execute(f"CREATE TEMP TABLE {name} AS {query}")
        return name

    def put(self, values: Mapping[str, str], join: str = "") -> None:
        """Replace cells by SQL over the cells; a row has at most one partner in a `join`."""
        if any(self._depth[cell] >= MAX_DEPTH for cell in values):
            self._compute()
        self._depth.update(values.keys())
        replaced = ", ".join(f"{sql} AS {cell}" for cell, sql in values.items())
        self._go_on(f"SELECT {self.relation}.* REPLACE ({replaced}) FROM {self.relation} {join}")
        self._is_shuffled |= bool(join)

    def hold(self, *, where: str = "", join: str = "") -> None:
        """Let go of all rows but those that the condition or the join picks."""
        condition = f"WHERE {where}" if where else ""
        self._go_on(f"SELECT {self.relation}.* FROM {self.relation} {join} {condition}")
        self._is_shuffled |= bool(join)
        (self.num_rows,) = self.ask("count(*)")

    def append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Put the rows of ./NAME.parquet, which has the columns of the untouched table, after its own."""
        cells = ", ".join(column.cell for column in self.columns)
        more = open_stored(self.connection, name, entries).view
        mine, others = (
            f"SELECT {PLACE}, {cells} FROM {self.relation}",
            f"SELECT {PLACE} + {self.num_rows}, {cells} FROM {more}",
        )
        self._go_on(f"{mine} UNION ALL {others}")
        (self.num_rows,) = self.ask("count(*)")

    def source(self) -> Source:
        """The table as a source: every column is known to have its type, rows stand in the order they came in."""
        cells = ", ".join(column.cell for column in self.columns)
        columns = [
            Column(column.name, text_of(column.cell, column.kind), stored=stored_type(column.kind), value=column.cell)
            for column in self.columns
        ]
        return Source(f"(SELECT {cells} FROM {self.relation} {self._order})", columns, {})

    def _compute(self) -> None:
        used, self._aside = self._aside, []
        cells = ", ".join(column.cell for column in self.columns)
        self.relation = self.set_aside(f"SELECT {PLACE}, {cells} FROM {self.relation} {self._order}")
        self._depth.clear()
        self._is_shuffled = False
        for name in used:
            self.connection.execute(f"DROP TABLE IF EXISTS {name}")

    @property
    def _order(self) -> str:
        # A join answers in any order; all else keeps the one it found.
        return f"ORDER BY {PLACE}" if self._is_shuffled else ""

    def _go_on(self, query: str) -> None:
        name = self._new_name("step")
        self.connection.execute(f"CREATE TEMP VIEW {name} AS {query}")
        self.relation = name

    def _new_name(self, word: str) -> str:
        self._num_names += 1
        return f"{word}_{self._num_names}"
