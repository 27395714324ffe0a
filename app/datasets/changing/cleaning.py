"""The cleaning steps: rows dropped, missing values filled, types changed, outliers clipped.

Every step is a function of the table, the step and its place in the request; it changes the table, and returns what
can be said of its work: counts and figures of numbers, never the value of a single row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from app.datasets.asking.predicates import predicate
from app.datasets.asking.stored import PLACE
from app.datasets.changing.step_columns import Place, Step, StoredColumn, conditions, named, one_named, refusal
from app.datasets.changing.step_table import StepTable
from app.datasets.changing.step_text import constant, text_of
from app.datasets.changing.typed_values import typed
from app.datasets.engine import NUM_THREADS, rows
from app.datasets.limits import MAX_ERRORS, pointer, shown
from app.datasets.reading.casts import accepts, stored_type, value
from app.datasets.reading.source import Column
from app.errors import Invalid

Report = dict[str, Any]


def drop_duplicates(table: StepTable, step: Step, place: Place) -> Report:
    """The first of equal rows stays."""
    cells = ", ".join(column.cell for column in named(table.columns, step["columns"], place))
    # One query for both would hold all groups and all rows in memory at a time.
    first = table.set_aside(f"SELECT min({PLACE}) AS {PLACE} FROM {table.relation} GROUP BY {cells}")
    repeated = table.set_aside(f"SELECT {PLACE} FROM {table.relation} ANTI JOIN {first} USING ({PLACE})")
    table.connection.execute(f"DROP TABLE {first}")
    if rows(table.connection, f"SELECT 1 FROM {repeated} LIMIT 1"):
        table.hold(join=f"ANTI JOIN {repeated} USING ({PLACE})")
    return {}


def drop_missing(table: StepTable, step: Step, place: Place) -> Report:
    """Rows stay whose cells are all present, or some of them."""
    cells = [column.cell for column in named(table.columns, step["columns"], place)]
    word = " AND " if step["how"] == "any" else " OR "
    table.hold(where=word.join(f"{cell} IS NOT NULL" for cell in cells))
    return {}


def filter_rows(table: StepTable, step: Step, place: Place) -> Report:
    """Rows stay that satisfy every condition."""
    table.hold(
        where=predicate(conditions(table.columns, step, place), {c.name: c.cell for c in table.columns}.__getitem__)
    )
    return {}


def fill_missing(table: StepTable, step: Step, place: Place) -> Report:
    """Figures of numbers are told; the most frequent text might be somebody's."""
    columns = named(table.columns, step["columns"], place)
    missing = table.ask(", ".join(f"count(*) - count({column.cell})" for column in columns))
    values, told = {}, {}
    for position, (column, num_missing) in enumerate(zip(columns, missing, strict=True)):
        told[column.name] = {"num_cells_changed": num_missing}
        if not num_missing:
            continue
        filler = typed(step["fill_value"], column.kind) if step["method"] == "constant" else None
        if filler is None:
            filler = _figure(table, column, step["method"])
        if filler is None or (isinstance(filler, float) and not math.isfinite(filler)):
            raise refusal((*place, "columns", position), f"column {shown(column.name)} has no {step['method']} value")
        values[column.cell] = f"coalesce({column.cell}, {constant(filler, column.kind)})"
        if step["method"] in ("mean", "median") and column.kind != "datetime":
            told[column.name]["filled_with"] = filler
    if values:
        table.put(values)
    return {"columns": told}


def _figure(table: StepTable, column: StoredColumn, method: str) -> Any:
    """The mean, median or most frequent value as it is held; None where there is none.

    Whole numbers and moments get a whole figure: the mean rounded, of two middle values the lower one. Of values
    that are equally frequent the least is taken.
    """
    cell = f"epoch_us({column.cell})" if column.kind == "datetime" else column.cell
    if method == "most_frequent":
        query = (
            f"SELECT {cell} AS v FROM {table.relation} WHERE v IS NOT NULL GROUP BY v ORDER BY count(*) DESC, v LIMIT 1"
        )
        found = rows(table.connection, query)
        return found[0][0] if found else None
    if column.kind == "real" and method == "mean":
        # A sum of floating-point numbers depends on their order, and two threads take any.
        table.connection.execute("SET threads = 1")
        (mean,) = table.ask(f"avg({cell})")
        table.connection.execute(f"SET threads = {NUM_THREADS}")
        return mean
    if column.kind == "real":
        return table.ask(f"quantile_cont({cell}, 0.5)")[0]
    return table.ask(f"TRY_CAST(round(avg({cell})) AS BIGINT)" if method == "mean" else f"quantile_disc({cell}, 0.5)")[
        0
    ]


def cast(table: StepTable, step: Step, place: Place) -> Report:
    """Cells are read as if they were sent as text, leniently."""
    told, values = {}, {}
    for name, kind in step["types"].items():
        column = one_named(table.columns, name, place)
        target = stored_type(kind)
        if target == stored_type(column.kind):
            continue
        text = Column(name, _text_to_cast(column, target))
        fits = accepts(text, target, lenient=True)
        wrong = f"count(*) FILTER (WHERE {column.cell} IS NOT NULL AND NOT ({fits}))"
        num_changed, num_wrong = table.ask(f"count({column.cell}), {wrong}")
        if num_wrong and step["on_error"] == "reject":
            raise _wrong_cells(table, column, kind, fits, (*place, "types", name))
        told[name] = {"num_cells_changed": num_changed, "num_cells_lost": num_wrong}
        converted = value(text, target, lenient=True)
        values[column.cell] = f"CASE WHEN {column.cell} IS NOT NULL AND {fits} THEN {converted} END"
    if values:
        table.put(values)
    return {"columns": told}


def _text_to_cast(column: StoredColumn, target: str) -> str:
    if column.kind == "boolean" and target in ("integer", "real"):
        return f"CAST({column.cell}::INTEGER AS VARCHAR)"
    return f"({text_of(column.cell, column.kind)})"


def _wrong_cells(table: StepTable, column: StoredColumn, kind: str, fits: str, place: Place) -> Invalid:
    """A refusal that names rows, and no values: it may be kept in the record of a job."""
    wrong = f"SELECT {PLACE} + 1 FROM {table.relation} WHERE {column.cell} IS NOT NULL AND NOT ({fits})"
    numbers = [number for (number,) in rows(table.connection, f"{wrong} ORDER BY {PLACE} LIMIT {MAX_ERRORS}")]
    refused = refusal(place, f"row {numbers[0]} of column {shown(column.name)} has no value as {kind}")
    details = [f"row {number} has no value as {kind}" for number in numbers]
    return Invalid(refused.detail, errors=[{"pointer": pointer(*place), "detail": detail} for detail in details])


def clip(table: StepTable, step: Step, place: Place) -> Report:
    """Bounds are given, or quantiles of the column; of whole numbers they are whole, and inside of what was given."""
    told, values = {}, {}
    for column in named(table.columns, step["columns"], place):
        low, high = _bounds(table, column, step)
        below = "false" if low is None else f"{column.cell} < {constant(low, column.kind)}"
        above = "false" if high is None else f"{column.cell} > {constant(high, column.kind)}"
        (num_changed,) = table.ask(f"count(*) FILTER (WHERE {below} OR {above})")
        told[column.name] = {"num_cells_changed": num_changed, "low": low, "high": high}
        brought = [
            f"WHEN {outside} THEN {constant(bound, column.kind)}"
            for outside, bound in ((below, low), (above, high))
            if bound is not None
        ]
        if num_changed:
            values[column.cell] = f"CASE {' '.join(brought)} ELSE {column.cell} END"
    if values:
        table.put(values)
    return {"columns": told}


def _bounds(table: StepTable, column: StoredColumn, step: Step) -> tuple[Any, Any]:
    low, high = step["low"], step["high"]
    if step["quantiles"] is not None:
        low, high = _quantiles(table, column, *step["quantiles"])
    elif step["iqr"] is not None:
        first, third = _quantiles(table, column, 0.25, 0.75)
        if first is not None:
            reach = step["iqr"] * (float(third) - float(first))
            low, high = first - reach, third + reach
    return _fitted(low, column.kind, math.ceil), _fitted(high, column.kind, math.floor)


def _quantiles(table: StepTable, column: StoredColumn, *shares: float) -> tuple[Any, ...]:
    cuts = ", ".join(f"quantile_disc({column.cell}, {share!r})" for share in shares)
    return table.ask(cuts)


def _fitted(bound: float | None, kind: str, whole: Any) -> int | float | None:
    """The bound in the column's type; None where it lies beyond all numbers of it."""
    if bound is None or not math.isfinite(bound):
        return None
    try:
        fitted: int | float = typed(whole(bound) if kind == "integer" else bound, kind)
    except ValueError:
        return None
    return fitted


OPERATIONS: Mapping[str, Any] = {
    "drop_duplicates": drop_duplicates,
    "drop_missing": drop_missing,
    "filter": filter_rows,
    "fill_missing": fill_missing,
    "cast": cast,
    "clip": clip,
}
