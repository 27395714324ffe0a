"""Read Parquet: check names, types and sizes before any page is decoded, then hand the columns on."""

from __future__ import annotations

from pathlib import Path

import duckdb

from app.datasets.engine import literal, rows
from app.datasets.limits import IngestLimits, check_names, check_size, invalid, pointer, shown
from app.datasets.reading.casts import in_range
from app.datasets.reading.source import PLAIN, STRING_CELL, Column, Dialect, Source
from app.errors import TooLarge

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
MOMENTS = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")
TEXTS = ("VARCHAR", "UUID", "TIME", "JSON", "ENUM")
MAX_INTEGER_DIGITS = 18
NUM_COLUMNS_PER_QUERY = 500


def open_parquet(
    connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect = PLAIN
) -> Source:
    """A Parquet file as a source.

    Numbers, booleans, dates and strings keep their types; decimals become integer or real; NaN is missing.
    Raises Invalid for nested and binary columns, and TooLarge by the footer's sizes and by those of the
    decoded strings, which the footer does not tell.
    """
    file = literal(str(path))
    num_rows = int(rows(connection, f"SELECT sum(num_rows) FROM parquet_file_metadata({file})")[0][0])
    names = _names(connection, file)
    check_names(names, limits)
    check_size(limits, num_rows, len(names))
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    relation = f"read_parquet({file}, binary_as_string=false) AS rows({aliases})"
    types = [str(row[1]) for row in rows(connection, f"DESCRIBE SELECT * FROM {relation}")]
    _refuse_types(names, types)
    columns = [_column(name, f"c{i}", kind) for i, (name, kind) in enumerate(zip(names, types, strict=True))]
    source = Source(relation, columns, {}, [])
    _check_decoded(connection, source, 8 * num_rows * len(columns), limits)
    return source


def _names(connection: duckdb.DuckDBPyConnection, file: str) -> list[str]:
    """Names of the top-level columns as the file has them; DuckDB would rename repeated ones."""
    names = []
    nested = 0
    tree = rows(connection, f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({file})")
    for name, num_children in tree[1:]:
        if nested == 0:
            names.append(str(name))
        nested += num_children - (1 if nested else 0)
    return names


def _refuse_types(names: list[str], types: list[str]) -> None:
    errors = [
        (pointer("columns", name), f"has the type {shown(kind)}, which is not a plain value")
        for name, kind in zip(names, types, strict=True)
        if not _is_plain(kind)
    ]
    if errors:
        raise invalid("Columns must hold numbers, booleans, dates or strings.", errors)


def _is_plain(kind: str) -> bool:
    if kind.endswith("]") or "(" in kind:
        return kind.startswith(("DECIMAL(", "ENUM(")) and not kind.endswith("]")
    return kind in (
        *INTEGERS,
        *MOMENTS,
        *TEXTS,
        "UBIGINT",
        "HUGEINT",
        "FLOAT",
        "DOUBLE",
        "BOOLEAN",
        '"NULL"',
        "NULL",
    )


def _column(name: str, cell: str, kind: str) -> Column:
    text = f"{cell}::VARCHAR"
    if kind in INTEGERS or _is_whole_decimal(kind):
        return Column(name, text, stored="integer", value=f"{cell}::BIGINT")
    if kind in ("UBIGINT", "HUGEINT"):
        return Column(name, text, ("integer", "real"))
    if kind == "BOOLEAN":
        return Column(name, text, stored="boolean", value=cell)
    if kind in ("FLOAT", "DOUBLE"):
        # Not nullif: statistics leave NaN out, so a comparison with it is optimised away.
        present = f"CASE WHEN isnan({cell}) THEN NULL ELSE {cell} END"
        finite = f"coalesce(NOT isinf({cell}), true)"
        return Column(name, f"({present})::VARCHAR", stored="real", value=f"({present})::DOUBLE", accepts=finite)
    if kind.startswith("DECIMAL("):
        return Column(name, text, stored="real", value=f"{cell}::DOUBLE")
    if kind in MOMENTS:
        moment = f"{cell}::TIMESTAMPTZ"
        return Column(name, text, stored="datetime", value=moment, accepts=f"coalesce({in_range(moment)}, true)")
    return Column(name, cell if kind == "VARCHAR" else text, STRING_CELL)


def _is_whole_decimal(kind: str) -> bool:
    if not kind.startswith("DECIMAL("):
        return False
    width, scale = kind.removeprefix("DECIMAL(").removesuffix(")").split(",")
    return int(scale) == 0 and int(width) <= MAX_INTEGER_DIGITS


def _check_decoded(
    connection: duckdb.DuckDBPyConnection, source: Source, size_bytes: int, limits: IngestLimits
) -> None:
    """Raise TooLarge when the decoded values are over the limit, Invalid when strings hold NUL characters.

    A dictionary page makes two gigabytes of strings out of half a kilobyte, and no size in the file says so.
    """
    texts = [column for column in source.columns if column.candidates == STRING_CELL]
    for start in range(0, len(texts), NUM_COLUMNS_PER_QUERY):
        batch = texts[start : start + NUM_COLUMNS_PER_QUERY]
        cells = [column.cell for column in batch]
        lengths = rows(connection, _select("coalesce(sum(strlen({})), 0)", cells, source.relation))[0]
        size_bytes += sum(map(int, lengths))
        if size_bytes > limits.decoded_bytes:
            raise TooLarge(f"The table decodes to over {limits.decoded_bytes:,} bytes, which is the limit.")
        broken = rows(connection, _select("coalesce(bool_or(contains({}, chr(0))), false)", cells, source.relation))[0]
        for column, is_broken in zip(batch, broken, strict=True):
            if is_broken:
                fault = "holds NUL characters"
                raise invalid(f"Column {shown(column.name)} {fault}.", [(pointer("columns", column.name), fault)])


def _select(aggregate: str, cells: list[str], relation: str) -> str:
    return f"SELECT {', '.join(aggregate.format(cell) for cell in cells)} FROM {relation}"
