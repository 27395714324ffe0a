"""Find rows of a stored table: those that satisfy conditions, in an order, a page of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.asking.condition_values import EPOCH
from app.datasets.asking.conditions import Condition, Ordering
from app.datasets.asking.predicates import order_by, predicate
from app.datasets.asking.stored import PLACE, StoredTable, connect_to, open_stored
from app.datasets.engine import rows
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress
from app.datasets.rows import rfc3339


def find_rows(
    arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `rows`: a page of the rows of `table`, and how many rows satisfy the conditions."""
    connection = connect_to(inputs, limits)
    progress.phase("filtering", connection)
    table = open_stored(connection, "stored", arguments["columns"])
    where = predicate((Condition(**item) for item in arguments["conditions"]), table.cells.__getitem__)
    order = order_by((Ordering(**item) for item in arguments["sort"]), PLACE, table.cells.__getitem__)
    num_rows = int(rows(connection, f"SELECT count(*) FROM {table.view} WHERE {where}")[0][0])
    # Only the columns that decide are read here, and a heap holds no more rows than it must.
    page = f"LIMIT {int(arguments['limit'])} OFFSET {int(arguments['offset'])}"
    found = rows(connection, f"SELECT {PLACE} FROM {table.view} WHERE {where} ORDER BY {order} {page}")
    places = [place for (place,) in found]
    return {"num_rows": num_rows, "data": _rows_at(connection, table, places, arguments["shown"])}


def _rows_at(
    connection: duckdb.DuckDBPyConnection, table: StoredTable, places: Sequence[int], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows at these places, in this order, as `rows.read_rows` shows them."""
    if not places or not names:
        return []
    cells = ", ".join(table.select(names))
    listed = ", ".join(map(str, places))
    found = rows(connection, f"SELECT {PLACE}, {cells} FROM {table.view} WHERE {PLACE} IN ({listed})")
    at = {place: values for place, *values in found}
    types = [table.types[name] for name in names]
    plain = ([_plain(value, kind) for value, kind in zip(at[place], types, strict=True)] for place in places)
    return [dict(zip(names, values, strict=True)) for values in plain]


def _plain(value: Any, kind: str) -> Any:
    return rfc3339(EPOCH + timedelta(microseconds=value)) if kind == "datetime" and value is not None else value
