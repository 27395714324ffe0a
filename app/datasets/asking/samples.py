"""Columns of a stored table as arrays of numbers: a sample of its rows, the same one every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from app.datasets.asking.stored import PLACE, StoredTable
from app.datasets.engine import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUMBERS = frozenset({"integer", "real", "datetime"})
CLASSES = frozenset({"category", "boolean"})
NUM_COLUMNS_PER_QUERY = 8


@dataclass(frozen=True)
class Sample:
    """The rows of a table that are looked at: all of them, or those whose place has a certain hash."""

    table: StoredTable
    num_rows: int
    every: int

    @property
    def where(self) -> str:
        """SQL that is true for the rows of the sample."""
        return "true" if self.every == 1 else f"hash({PLACE}) % {self.every} = 0"


def sample(connection: duckdb.DuckDBPyConnection, table: StoredTable, max_rows: int) -> Sample:
    """About `max_rows` rows at most."""
    num_rows = int(rows(connection, f"SELECT count(*) FROM {table.view}")[0][0])
    return Sample(table, num_rows, max(1, -(-num_rows // max_rows)))


def values(
    connection: duckdb.DuckDBPyConnection, sampled: Sample, names: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Each column of the sample, in order of its rows: numbers, or one number per distinct value; NaN is missing."""
    # Most work of a child needs no numpy, whose import takes longer than reading a small table.
    import numpy as np

    for start in range(0, len(names), NUM_COLUMNS_PER_QUERY):
        batch = names[start : start + NUM_COLUMNS_PER_QUERY]
        cells = ", ".join(f"{_number(sampled.table, name)} AS v{i}" for i, name in enumerate(batch))
        query = f"SELECT {cells} FROM {sampled.table.view} WHERE {sampled.where} ORDER BY {PLACE}"
        found = connection.execute(query).fetchnumpy()
        for i, name in enumerate(batch):
            yield name, np.ma.filled(found[f"v{i}"].astype(np.float64), np.nan)


def _number(table: StoredTable, name: str) -> str:
    cell = table.cells[name]
    kind = table.types[name]
    if kind == "datetime":
        return f"epoch_us({cell})::DOUBLE"
    # 53 bits of a hash are a number that a double holds exactly.
    return (
        f"{cell}::DOUBLE" if kind in NUMBERS else f"CASE WHEN {cell} IS NOT NULL THEN (hash({cell}) >> 11)::DOUBLE END"
    )
