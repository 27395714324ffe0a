"""Stored tables as the engine of a child sees them: columns by position, so that no name can be mistaken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.engine import connect, literal
from app.datasets.limits import IngestLimits

ENGINE_SHARE_OF_MEMORY = 0.6
# The number of a row in its table, beginning with 0.
PLACE = "place"

Columns = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class StoredTable:
    """A view of a table: its name in SQL, the types of its columns, and the SQL name of each column."""

    view: str
    types: Mapping[str, str]
    cells: Mapping[str, str]

    def select(self, names: Sequence[str]) -> Iterator[str]:
        """SQL for the values of columns; moments are microseconds since 1970."""
        for name in names:
            cell = self.cells[name]
            yield f"epoch_us({cell})" if self.types[name] == "datetime" else cell


def connect_to(
    inputs: Mapping[str, Path], limits: IngestLimits, share_of_memory: float = ENGINE_SHARE_OF_MEMORY
) -> duckdb.DuckDBPyConnection:
    """A connection that reads stored tables as ./NAME.parquet, whatever the folders they lie in are called."""
    for name, path in inputs.items():
        Path(f"{name}.parquet").symlink_to(path)
    return connect(list(inputs.values()), int(limits.memory_bytes * share_of_memory))


def open_stored(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns) -> StoredTable:
    """The view `name` of a table with all its columns, in their order, and the place of each row."""
    cells = [f"c{i}" for i in range(len(columns))]
    listed = ", ".join(cells)
    connection.execute(
        f"CREATE TEMP VIEW {name} AS SELECT file_row_number AS {PLACE}, {listed} "
        f"FROM read_parquet({literal(name + '.parquet')}) AS columns({listed})"
    )
    names = [str(column["name"]) for column in columns]
    types = {name: str(column["type"]) for name, column in zip(names, columns, strict=True)}
    return StoredTable(name, types, dict(zip(names, cells, strict=True)))
