"""Append a sent file to a version: its rows, read in the types of the version, come after the rows that are there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.changing.step_table import StepTable
from app.datasets.changing.transforming import write_version
from app.datasets.limits import IngestLimits, check_size, invalid, pointer, shown
from app.datasets.progress import Progress
from app.datasets.reading.inference import write_typed
from app.datasets.reading.parsing import read
from app.datasets.reading.source import Column, Source
from app.datasets.reading.typed_parquet import PARQUET, num_rows_written

Answer = dict[str, Any]
NEW = "appended"


def append(arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress) -> Answer:
    """The operation `append`: the file `source`, told of as for `read`, after the version `parent`.

    `columns` are those of the parent; the file must have the same, in any order, with cells of their types.
    """
    entries = arguments["columns"]
    types = {entry["name"]: entry["type"] for entry in entries}
    order = {**arguments, "options": {**arguments["options"], "types": types}}
    told = read(order, {"source": inputs["source"]}, limits, progress, _write_rows)
    os.replace(PARQUET, f"{NEW}.parquet")
    table = StepTable({"parent": inputs["parent"]}, entries, limits)
    num_before = table.num_rows
    table.append(NEW, entries)
    counts = {"num_rows_before": num_before, "num_rows_after": table.num_rows}
    answer = write_version(table, told["details"] | {"appended": counts}, limits, progress)
    answer["profile"]["warnings"] = told["warnings"] + answer["profile"]["warnings"]
    return answer


def _write_rows(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    types: Mapping[str, str],
    limits: IngestLimits,
    progress: Progress,
) -> Answer:
    """Write the rows of the file in the order and the types of these columns."""
    source.columns = _arranged(source.columns, list(types))
    write_typed(connection, source, types)
    check_size(limits, num_rows_written(connection), len(types))
    return {"details": source.details, "warnings": source.warnings}


def _arranged(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns in the order of the names. Raises: Invalid when there are others, or too few."""
    found = {column.name: column for column in columns}
    missing = [(name, "is missing in the file") for name in names if name not in found]
    extra = [(name, "is not a column of the data set") for name in found if name not in set(names)]
    if wrong := missing + extra:
        errors = [(pointer("columns", name), f"{shown(name)} {fault}") for name, fault in wrong]
        raise invalid(f"The file must have the columns of the data set: {errors[0][1]}.", errors)
    return [found[name] for name in names]
