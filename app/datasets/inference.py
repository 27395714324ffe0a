"""Decide the type of every column from all of its cells, and write the table as typed Parquet.

A column has a type when every cell that is not missing has it. A sample rules types out for good, so the
first write is nearly always right; when a later cell breaks the guess, a census of the whole file settles it.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from app.datasets.casts import TYPES, accepts, stored_type, value
from app.datasets.engine import identifier, rows
from app.datasets.limits import MAX_ERRORS, invalid, pointer, shown
from app.datasets.source import NUMBER_CELL, Column, Source

PARQUET = "data.parquet"
NUM_SAMPLE_CELLS = 400_000
MAX_SAMPLE_ROWS = 20_000
NUM_COLUMNS_PER_QUERY = 250
ROW_GROUP_ROWS = 131_072
MIN_ROW_GROUP_ROWS = 2_048
ROW_GROUP_BYTES = 64 * 2**20
WRONG_CELL = "a cell is not of the type of its column"

Requested = Mapping[str, str]


def write_typed(connection: duckdb.DuckDBPyConnection, source: Source, requested: Requested) -> list[str]:
    """Write ./data.parquet and return the stored type of each column.

    The types are boolean, integer, real, datetime and string. `requested` fixes the types of some columns by
    name. Raises Invalid for cells that do not have a requested or declared type, naming column and rows.
    """
    _check_requested(source, requested)
    num_rows = max(100, min(MAX_SAMPLE_ROWS, NUM_SAMPLE_CELLS // len(source.columns)))
    types, row_bytes = _types_of_sample(connection, source, requested, num_rows)
    if None in types:
        types = _census(connection, source, requested, types)
    row_group = min(ROW_GROUP_ROWS, max(MIN_ROW_GROUP_ROWS, ROW_GROUP_BYTES // max(1, row_bytes)))
    settled = [kind or "string" for kind in types]
    try:
        _copy(connection, source, requested, settled, row_group)
    except duckdb.Error as fault:
        if WRONG_CELL not in str(fault):
            raise
        source.refuse_bad_lines()
        _refuse_wrong_cells(connection, source, requested)
        settled = [kind or "string" for kind in _census(connection, source, requested, list(settled))]
        _copy(connection, source, requested, settled, row_group)
    source.refuse_bad_lines()
    source.warnings += _lost_numbers(source, requested, settled)
    return settled


def _check_requested(source: Source, requested: Requested) -> None:
    names = {column.name for column in source.columns}
    errors = [
        (pointer("columns", name), f"there is no column {shown(name)}")
        if name not in names
        else (pointer("columns", name), f"{shown(kind)} is not a type; types are {', '.join(TYPES)}")
        for name, kind in requested.items()
        if name not in names or kind not in TYPES
    ]
    if errors:
        raise invalid(f"The requested column types cannot be used: {errors[0][1]}.", errors)


def _types_of_sample(
    connection: duckdb.DuckDBPyConnection, source: Source, requested: Requested, num_rows: int
) -> tuple[list[str | None], int]:
    """The types the first rows allow (None where they are all missing), and the mean bytes of a row."""
    cells = ", ".join(f"{column.cell} AS s{i}" for i, column in enumerate(source.columns))
    connection.execute(f"CREATE TEMP TABLE sample AS SELECT {cells} FROM {source.relation} LIMIT {num_rows}")
    source.refuse_bad_lines()
    sampled = [
        Column(column.name, f"s{i}", column.candidates, column.stored)
        for i, column in enumerate(source.columns)
    ]
    unknown: list[str | None] = [None] * len(sampled)
    types = _census(connection, Source("sample", sampled, {}), requested, unknown)
    lengths = " + ".join(f"coalesce(sum(strlen(s{i})), 0)" for i in range(len(sampled)))
    total, count = rows(connection, f"SELECT {lengths}, count(*) FROM sample")[0]
    connection.execute("DROP TABLE sample")
    return types, 8 * len(sampled) + int(total) // max(1, count)


def _census(
    connection: duckdb.DuckDBPyConnection, source: Source, requested: Requested, known: list[str | None]
) -> list[str | None]:
    """The first candidate that every cell has; None where all cells are missing.

    A column already known to hold strings, or of a declared or requested type, is not looked at.
    """
    types = list(known)
    open_columns = []
    for i, column in enumerate(source.columns):
        fixed = stored_type(requested[column.name]) if column.name in requested else column.stored
        if fixed or types[i] == "string":
            types[i] = fixed or "string"
        else:
            open_columns.append(i)
    for start in range(0, len(open_columns), NUM_COLUMNS_PER_QUERY):
        batch = open_columns[start : start + NUM_COLUMNS_PER_QUERY]
        for i, kind in _types_of(connection, source, batch).items():
            types[i] = kind
    return types


def _types_of(
    connection: duckdb.DuckDBPyConnection, source: Source, batch: list[int]
) -> dict[int, str | None]:
    aggregates = []
    for i in batch:
        column = source.columns[i]
        aggregates.append(f"count({column.cell})")
        aggregates += [
            f"coalesce(bool_and({column.cell} IS NULL OR {accepts(column, kind, lenient=False)}), true)"
            for kind in column.candidates
        ]
    found = iter(rows(connection, f"SELECT {', '.join(aggregates)} FROM {source.relation}")[0])
    types: dict[int, str | None] = {}
    for i in batch:
        any_cell = next(found) > 0
        fits = [kind for kind in source.columns[i].candidates if next(found)]
        types[i] = (fits[0] if fits else "string") if any_cell else None
    return types


def _copy(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    requested: Requested,
    types: list[str],
    row_group: int,
) -> None:
    selected = []
    for column, kind in zip(source.columns, types, strict=True):
        lenient = column.name in requested
        converted = value(column, kind, lenient=lenient)
        test = accepts(column, kind, lenient=lenient)
        if test != "true":
            missing = "" if kind == column.stored and not lenient else f"WHEN {column.cell} IS NULL THEN NULL"
            converted = f"CASE {missing} WHEN {test} THEN {converted} ELSE error('{WRONG_CELL}') END"
        selected.append(f"{converted} AS {identifier(column.name)}")
    connection.execute(
        f"COPY (SELECT {', '.join(selected)} FROM {source.relation}) TO '{PARQUET}' "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group})"
    )


def _refuse_wrong_cells(connection: duckdb.DuckDBPyConnection, source: Source, requested: Requested) -> None:
    """Raise Invalid when cells break a requested or declared type, for the first such column."""
    for column in source.columns:
        kind = stored_type(requested[column.name]) if column.name in requested else column.stored
        test = accepts(column, kind, lenient=column.name in requested) if kind else "true"
        if test == "true":
            continue
        numbered = f"SELECT row_number() OVER () AS number, * FROM {source.relation}"
        wrong = rows(
            connection,
            f"SELECT number, {column.cell} FROM ({numbered}) "
            f"WHERE {column.cell} IS NOT NULL AND NOT ({test}) LIMIT {MAX_ERRORS}",
        )
        if wrong:
            errors = [
                (pointer("columns", column.name), f"row {number}: {shown(cell)} has no value as {kind}")
                for number, cell in wrong
            ]
            raise invalid(f"Column {shown(column.name)} cannot be read as {kind}: {errors[0][1]}.", errors)


def _lost_numbers(source: Source, requested: Requested, types: list[str]) -> list[dict[str, str | None]]:
    return [
        {
            "column": column.name,
            "code": "numbers-as-text",
            "detail": "Some numbers are too large to be held exactly, so the column is kept as text.",
        }
        for column, kind in zip(source.columns, types, strict=True)
        if column.candidates == NUMBER_CELL and kind == "string" and column.name not in requested
    ]
