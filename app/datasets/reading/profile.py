"""Describe every column of a stored table: its type and policies, what was measured, and warnings."""

from __future__ import annotations

from typing import Any

import duckdb

from app.datasets.engine import identifier, literal, rows
from app.datasets.reading.findings import findings
from app.datasets.reading.measures import NUM_COLUMNS_AT_ONCE, Part, open_part

MAX_HEAD_CELLS = 200_000
MAX_ROWS_LOOKED_AT = 10_000
MAX_CELLS_FOR_DUPLICATES = 50_000_000
MAX_COLUMNS_FOR_DUPLICATES = 1_000

MAX_CATEGORIES = 10_000
MAX_CATEGORIES_OF_SMALL_TABLE = 50
MAX_CATEGORIES_SHARE = 0.05
MIN_REPETITION = 2.0
MIN_IDENTIFIERS = 50

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
    found: list[dict[str, Any]] = []
    num_looked_at = min(MAX_ROWS_LOOKED_AT, max(20, MAX_HEAD_CELLS // len(names)))
    for start in range(0, len(names), NUM_COLUMNS_AT_ONCE):
        part = slice(start, start + NUM_COLUMNS_AT_ONCE)
        opened = open_part(connection, parquet, names[part], stored[part], (num_rows, len(names)))
        described = _described(opened, requested)
        for column, kind, values in zip(described, opened.stored, opened.different(num_looked_at), strict=True):
            found += findings(column, kind, values, num_rows)
        columns += described
    return columns, {
        "num_rows": num_rows,
        "num_columns": len(names),
        "num_missing_cells": sum(column["num_missing"] for column in columns),
        "num_duplicate_rows": _num_duplicates(connection, parquet, columns, num_rows),
        "warnings": [warning for column in columns for warning in _warnings(column, num_rows)] + found,
    }


def _described(part: Part, requested: dict[str, str]) -> list[dict[str, Any]]:
    columns = part.measured()
    part.add_examples(columns, min(part.num_rows, 1_000, max(20, MAX_HEAD_CELLS // len(columns))))
    for i, column in enumerate(columns):
        kind = requested.get(column["name"]) or _type(part, i, column)
        column["type"] = kind
        if kind in ("category", "boolean", "text"):
            part.add_top(i, column, exact=kind != "text" or part.is_exact)
        column["policies"] = {key: POLICIES[key] for key in POLICIES if key not in NOT_APPLICABLE[kind]}
    return columns


def _type(part: Part, position: int, column: dict[str, Any]) -> str:
    """What a string column is used as; other columns are what they are stored as.

    Source: ours, because an encoder wants few categories that repeat, and a key must not become a feature.
    """
    if part.stored[position] != "string":
        return part.stored[position]
    distinct, num_rows = column["num_distinct"], part.num_rows
    present = num_rows - column["num_missing"]
    if num_rows > MIN_IDENTIFIERS and distinct == num_rows:
        spaced = f"SELECT 1 FROM sampled WHERE regexp_matches(c{position}, '\\s') LIMIT 1"
        if not rows(part.connection, spaced):
            return "identifier"
    few = max(MAX_CATEGORIES_OF_SMALL_TABLE, int(MAX_CATEGORIES_SHARE * num_rows))
    repeats = distinct > 0 and present / distinct >= MIN_REPETITION
    return "category" if distinct <= MAX_CATEGORIES and (distinct <= few or repeats) else "text"


def _num_duplicates(
    connection: duckdb.DuckDBPyConnection, parquet: str, columns: list[dict[str, Any]], num_rows: int
) -> int | None:
    """Rows equal to an earlier one, by a 64-bit hash; None for tables too large to look."""
    if any(column["num_distinct"] == num_rows and not column["approximate"] for column in columns):
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
    elif column["type"] == "identifier" and not column["approximate"]:
        found = ("near-unique", "Every value is different, so the column is taken for an identifier.")
    elif column["type"] in ("integer", "category", "text", "identifier") and _is_near_unique(column, present):
        found = ("near-unique", "Nearly every value is different; it may be an identifier.")
    else:
        return []
    return [{"column": column["name"], "code": found[0], "detail": found[1]}]


def _is_near_unique(column: dict[str, Any], present: int) -> bool:
    return present > MIN_IDENTIFIERS and bool(column["num_distinct"] > 0.95 * present)
