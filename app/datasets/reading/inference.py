"""Decide the type of every column from all of its cells, and write the table as typed Parquet.

A column has a type when every cell that is not missing has it. A sample rules types out for good, so the
first write is nearly always right; when a later cell breaks the guess, a census of the whole file settles it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from app.datasets.engine import be_frugal, rows
from app.datasets.limits import MAX_ERRORS, invalid, pointer, shown
from app.datasets.reading.casts import TYPES, accepts, quickly_accepts, stored_type
from app.datasets.reading.source import ANY_CELL, NUMBER_CELL, Column, Source
from app.datasets.reading.typed_parquet import MAX_COLUMNS_AT_ONCE, WRONG_CELL, num_rows_written, write_parquet

NUM_SAMPLE_CELLS = 100_000
MIN_SAMPLE_ROWS = 20
MAX_SAMPLE_ROWS = 10_000
NUM_FIRST_CELLS = 100
NUM_COLUMNS_PER_QUERY = 100

Requested = Mapping[str, str]


class Sample(NamedTuple):
    """What the first rows say: the types each column can still have, columns without a cell, sizes."""

    possible: list[tuple[str, ...]]
    unseen: set[int]
    row_bytes: int


def write_typed(connection: duckdb.DuckDBPyConnection, source: Source, requested: Requested) -> list[str]:
    """Write ./data.parquet and return the stored type of each column.

    The types are boolean, integer, real, datetime and string. `requested` fixes the types of some columns by
    name. Raises Invalid for cells that do not have a requested or declared type, naming column and rows.
    """
    _check_requested(source, requested)
    if len(source.columns) > MAX_COLUMNS_AT_ONCE:
        be_frugal(connection)
    sample = _sample(connection, source, requested)
    guesses = [kinds if i in sample.unseen else kinds[:1] for i, kinds in enumerate(sample.possible)]
    types = _census(connection, source, guesses)
    try:
        write_parquet(connection, source, requested, types, sample.row_bytes)
    except duckdb.Error as fault:
        if WRONG_CELL not in str(fault):
            raise
        source.refuse_bad_lines()
        _refuse_wrong_cells(connection, source, requested)
        types = _census(connection, source, sample.possible)
        write_parquet(connection, source, requested, types, sample.row_bytes)
    source.refuse_bad_lines()
    source.leave_out_bad_lines(num_rows_written(connection))
    source.warnings += _lost_numbers(source, requested, types)
    return types


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


def _sample(connection: duckdb.DuckDBPyConnection, source: Source, requested: Requested) -> Sample:
    num_rows = max(MIN_SAMPLE_ROWS, min(MAX_SAMPLE_ROWS, NUM_SAMPLE_CELLS // len(source.columns)))
    fits: dict[int, set[str]] = {}
    row_bytes = 8 * len(source.columns)
    for start in range(0, len(source.columns), MAX_COLUMNS_AT_ONCE):
        cells = [column.cell for column in source.columns[start : start + MAX_COLUMNS_AT_ONCE]]
        found = rows(connection, f"SELECT {', '.join(cells)} FROM {source.relation} LIMIT {num_rows}")
        source.refuse_bad_lines()
        fits |= {start + i: kinds for i, kinds in _fitting_types(connection, found).items()}
        num_bytes = sum(len(cell) for row in found for cell in row if cell is not None)
        row_bytes += num_bytes // max(1, len(found))
    possible = [_possible(column, fits.get(i), requested) for i, column in enumerate(source.columns)]
    unseen = {i for i, kinds in enumerate(possible) if i not in fits and len(kinds) > 1}
    return Sample(possible, unseen, row_bytes)


def _possible(column: Column, fits: set[str] | None, requested: Requested) -> tuple[str, ...]:
    fixed = stored_type(requested[column.name]) if column.name in requested else column.stored
    if fixed:
        return (fixed,)
    return (*(kind for kind in column.candidates if fits is None or kind in fits), "string")


def _fitting_types(connection: duckdb.DuckDBPyConnection, sample: list[tuple[str | None, ...]]) -> dict[int, set[str]]:
    """By position, the types that all sampled cells of a column have; columns without cells are left out.

    A few rows rule out most of the types, so that the rules, which are costly, see the other rows for few of them.
    """
    num_columns = len(sample[0]) if sample else 0
    columns = [[cell for cell in cells if cell is not None] for cells in zip(*sample, strict=True)]
    first = _having(connection, columns, {kind: set(range(num_columns)) for kind in ANY_CELL}, slice(NUM_FIRST_CELLS))
    left = {kind: {i for i, kinds in first.items() if kind in kinds} for kind in ANY_CELL}
    return _having(connection, columns, left, slice(None)) if any(left.values()) else first


def _having(
    connection: duckdb.DuckDBPyConnection, columns: list[list[str]], asked: dict[str, set[int]], part: slice
) -> dict[int, set[str]]:
    """By position, the types of those `asked` for that all cells in this part of a column have.

    The sample is turned on its side: one long column of cells costs one set of rules, not one per column.
    """
    positions = [i for i, cells in enumerate(columns) for _ in cells[part]]
    values = [cell for cells in columns for cell in cells[part]]
    any_cell = Column("", "cell")
    # Most cells have few of the types here, and a cast that fails costs more than a regular expression.
    tests = ", ".join(
        f"bool_and(CASE WHEN list_contains({sorted(asked[kind])}::INTEGER[], position) "
        f"THEN {accepts(any_cell, kind, lenient=False)} ELSE false END)"
        for kind in ANY_CELL
    )
    long_form = "SELECT unnest($1::INTEGER[]) AS position, unnest($2::VARCHAR[]) AS cell"
    query = f"SELECT position, {tests} FROM ({long_form}) GROUP BY position"
    return {
        position: {kind for kind, fit in zip(ANY_CELL, found, strict=True) if fit}
        for position, *found in connection.execute(query, [positions, values]).fetchall()
    }


def _census(connection: duckdb.DuckDBPyConnection, source: Source, possible: list[tuple[str, ...]]) -> list[str]:
    """For every column the first possible type that all its cells have; strings where all are missing."""
    types = [kinds[0] for kinds in possible]
    unsettled = [i for i, kinds in enumerate(possible) if len(kinds) > 1]
    for start in range(0, len(unsettled), NUM_COLUMNS_PER_QUERY):
        batch = unsettled[start : start + NUM_COLUMNS_PER_QUERY]
        aggregates = []
        for i in batch:
            cell = source.columns[i].cell
            aggregates.append(f"count({cell}) = 0")
            for kind in possible[i][:-1]:
                aggregates.append(f"bool_and({cell} IS NULL OR {quickly_accepts(source.columns[i], kind)})")
        found = iter(rows(connection, f"SELECT {', '.join(aggregates)} FROM {source.relation}")[0])
        for i in batch:
            is_missing = next(found)
            fits = [kind for kind in possible[i][:-1] if next(found)]
            types[i] = "string" if is_missing or not fits else fits[0]
    return types


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
