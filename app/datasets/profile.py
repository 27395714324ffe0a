"""Describe every column of a stored table: exact counts, moments, quantiles, frequent values, warnings."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from app.datasets.engine import identifier, literal, rows
from app.datasets.rows import rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUANTILES = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
NUM_EXAMPLES = 5
NUM_TOP = 20
MAX_SHOWN_CHARACTERS = 100
MAX_HEAD_CELLS = 200_000
NUM_COLUMNS_AT_ONCE = 100
NUM_COLUMNS_PER_QUERY = 25
MAX_CELLS_IN_MEMORY = 4_000_000
MAX_CELLS_FOR_DUPLICATES = 50_000_000
MAX_COLUMNS_FOR_DUPLICATES = 1_000
CELLS_PER_QUERY = 1_000_000

MAX_CATEGORIES = 10_000
MAX_CATEGORIES_OF_SMALL_TABLE = 50
MAX_CATEGORIES_SHARE = 0.05
MIN_REPETITION = 2.0
MIN_IDENTIFIERS = 50
# Squares of larger numbers overflow; their mean and deviation are left out.
MAX_SQUARABLE = 1e150

POLICIES = {"missing": "impute", "unseen": "other", "out_of_range": "flag", "wrong_type": "reject"}
NOT_APPLICABLE = {
    "integer": {"unseen"},
    "real": {"unseen"},
    "datetime": {"unseen"},
    "boolean": {"unseen", "out_of_range"},
    "category": {"out_of_range"},
    "text": {"unseen", "out_of_range"},
    "identifier": {"unseen", "out_of_range"},
}


def describe(
    connection: duckdb.DuckDBPyConnection,
    parquet: str,
    names: list[str],
    stored: list[str],
    requested: dict[str, str],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One entry per column, and a summary of the table with its warnings; all values are plain JSON."""
    num_rows = int(rows(connection, f"SELECT count(*) FROM read_parquet({literal(parquet)})")[0][0])
    columns: list[dict[str, Any]] = []
    for start in range(0, len(names), NUM_COLUMNS_AT_ONCE):
        part = slice(start, start + NUM_COLUMNS_AT_ONCE)
        _open(connection, parquet, names[part], num_rows)
        columns += _described(connection, names[part], stored[part], requested, num_rows)
    return columns, {
        "num_rows": num_rows,
        "num_columns": len(names),
        "num_missing_cells": sum(column["num_missing"] for column in columns),
        "num_duplicate_rows": _num_duplicates(connection, parquet, columns, num_rows),
        "warnings": [warning for column in columns for warning in _warnings(column, num_rows)],
    }


def _open(connection: duckdb.DuckDBPyConnection, parquet: str, names: list[str], num_rows: int) -> None:
    """Make these columns known as c0, c1, … of `stored`, in memory if they are small."""
    kind = "TABLE" if num_rows * NUM_COLUMNS_AT_ONCE <= MAX_CELLS_IN_MEMORY else "VIEW"
    cells = ", ".join(f"{identifier(name)} AS c{i}" for i, name in enumerate(names))
    connection.execute(f"CREATE OR REPLACE TEMP {kind} stored AS SELECT {cells} FROM read_parquet({literal(parquet)})")


def _described(
    connection: duckdb.DuckDBPyConnection,
    names: list[str],
    stored: list[str],
    requested: dict[str, str],
    num_rows: int,
) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = []
    step = max(1, min(NUM_COLUMNS_PER_QUERY, CELLS_PER_QUERY // num_rows))
    for start in range(0, len(names), step):
        batch = list(range(start, min(start + step, len(names))))
        columns += _measured(connection, names, stored, batch)
    _add_examples(connection, columns, stored, num_rows)
    for i, column in enumerate(columns):
        kind = requested.get(column["name"]) or _type(connection, i, stored[i], column, num_rows)
        column["type"] = kind
        if kind in ("category", "boolean", "text"):
            column["top"] = _top(connection, i)
        column["policies"] = {key: POLICIES[key] for key in POLICIES if key not in NOT_APPLICABLE[kind]}
    return columns


def _measured(
    connection: duckdb.DuckDBPyConnection, names: list[str], stored: list[str], batch: list[int]
) -> list[dict[str, Any]]:
    parts = ["count(*)"]
    for i in batch:
        parts += [f"count(c{i})", f"count(DISTINCT c{i})", *_spread(f"c{i}", stored[i])]
    found = iter(rows(connection, f"SELECT {', '.join(parts)} FROM stored")[0])
    num_rows = next(found)
    columns = []
    for i in batch:
        present, distinct, low, high, mean, deviation, cuts = (next(found) for _ in range(7))
        columns.append(
            {
                "name": names[i],
                "type": stored[i],
                "num_missing": num_rows - present,
                "num_distinct": distinct,
                "examples": [],
                "min": _plain(low, stored[i]),
                "max": _plain(high, stored[i]),
                "mean": _finite(mean),
                "std": _finite(deviation),
                "quantiles": {name: _finite(cut) for name, cut in zip(QUANTILES, cuts or (), strict=False)},
                "top": [],
            }
        )
    return columns


def _spread(cell: str, stored: str) -> list[str]:
    """SQL for minimum, maximum, mean, deviation and quantiles; NULL where they mean nothing."""
    if stored == "datetime":
        return [f"epoch_us(min({cell}))", f"epoch_us(max({cell}))", "NULL", "NULL", "NULL"]
    if stored not in ("integer", "real"):
        return ["NULL"] * 5
    squarable = f"abs({cell}::DOUBLE) < {MAX_SQUARABLE}"
    cuts = ", ".join(str(cut) for cut in QUANTILES.values())
    return [
        f"min({cell})",
        f"max({cell})",
        *(
            f"CASE WHEN coalesce(bool_and({squarable}), false) THEN {moment}({cell}) FILTER ({squarable}) END"
            for moment in ("avg", "stddev_samp")
        ),
        f"quantile_cont({cell}, [{cuts}])",
    ]


def _add_examples(
    connection: duckdb.DuckDBPyConnection, columns: list[dict[str, Any]], stored: list[str], num_rows: int
) -> None:
    """The first few different values of each column, from the first rows of the table."""
    cells = ", ".join(_readable(f"c{i}", kind) for i, kind in enumerate(stored))
    num_head = min(num_rows, 1_000, max(20, MAX_HEAD_CELLS // len(columns)))
    head = rows(connection, f"SELECT {cells} FROM stored LIMIT {num_head}")
    for column, kind, values in zip(columns, stored, zip(*head, strict=True), strict=True):
        different = dict.fromkeys(value for value in values if value is not None)
        column["examples"] = [_plain(value, kind) for value in list(different)[:NUM_EXAMPLES]]


def _readable(cell: str, stored: str) -> str:
    if stored == "string":
        return f"left({cell}, {MAX_SHOWN_CHARACTERS + 1})"
    return f"epoch_us({cell})" if stored == "datetime" else cell


def _top(connection: duckdb.DuckDBPyConnection, position: int) -> list[dict[str, Any]]:
    cell = f"c{position}"
    found = rows(
        connection,
        f"SELECT {cell}, count(*) AS n FROM stored WHERE {cell} IS NOT NULL GROUP BY {cell} "
        f"ORDER BY n DESC, {cell} LIMIT {NUM_TOP}",
    )
    return [{"value": _plain(value, "string"), "count": count} for value, count in found]


def _type(
    connection: duckdb.DuckDBPyConnection, position: int, stored: str, column: dict[str, Any], num_rows: int
) -> str:
    """What a string column is used as; other columns are what they are stored as.

    Source: ours, because an encoder wants few categories that repeat, and a key must not become a feature.
    """
    if stored != "string":
        return stored
    distinct = column["num_distinct"]
    present = num_rows - column["num_missing"]
    if num_rows > MIN_IDENTIFIERS and distinct == num_rows:
        spaced = f"SELECT 1 FROM stored WHERE regexp_matches(c{position}, '\\s') LIMIT 1"
        if not rows(connection, spaced):
            return "identifier"
    few = max(MAX_CATEGORIES_OF_SMALL_TABLE, int(MAX_CATEGORIES_SHARE * num_rows))
    repeats = distinct > 0 and present / distinct >= MIN_REPETITION
    return "category" if distinct <= MAX_CATEGORIES and (distinct <= few or repeats) else "text"


def _num_duplicates(
    connection: duckdb.DuckDBPyConnection, parquet: str, columns: list[dict[str, Any]], num_rows: int
) -> int | None:
    """Rows equal to an earlier one, by a 64-bit hash; None for tables too large to look."""
    if any(column["num_distinct"] == num_rows for column in columns):
        return 0
    if num_rows * len(columns) > MAX_CELLS_FOR_DUPLICATES or len(columns) > MAX_COLUMNS_FOR_DUPLICATES:
        return None
    cells = ", ".join(identifier(column["name"]) for column in columns)
    query = f"SELECT count(*) - count(DISTINCT hash({cells})) FROM read_parquet({literal(parquet)})"
    return int(rows(connection, query)[0][0])


def _warnings(column: dict[str, Any], num_rows: int) -> list[dict[str, str]]:
    present = num_rows - column["num_missing"]
    if present == 0:
        found = ("all-missing", "Every value is missing.")
    elif column["num_distinct"] == 1 and num_rows > 1:
        found = ("constant", "Every value that is not missing is the same.")
    elif column["type"] == "identifier":
        found = ("near-unique", "Every value is different, so the column is taken for an identifier.")
    elif column["type"] in ("integer", "category", "text") and _is_near_unique(column, present):
        found = ("near-unique", "Nearly every value is different; it may be an identifier.")
    else:
        return []
    return [{"column": column["name"], "code": found[0], "detail": found[1]}]


def _is_near_unique(column: dict[str, Any], present: int) -> bool:
    return present > MIN_IDENTIFIERS and bool(column["num_distinct"] > 0.95 * present)


def _plain(value: Any, stored: str) -> Any:
    """A value as plain JSON: moments as RFC 3339, long strings cut, nothing infinite."""
    if stored == "datetime" and value is not None:
        return rfc3339(EPOCH + timedelta(microseconds=value))
    if isinstance(value, str) and len(value) > MAX_SHOWN_CHARACTERS:
        return value[: MAX_SHOWN_CHARACTERS - 1] + "…"
    return value


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
