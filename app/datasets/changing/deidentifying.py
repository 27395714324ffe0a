"""The steps that make persons harder to find: mask, pseudonymise, generalise, suppress rare values.

Every step is a function of the table, the step and its place in the request; it changes the table and returns counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.datasets.changing.step_columns import Place, Step, StoredColumn, named
from app.datasets.changing.step_table import StepTable
from app.datasets.changing.step_text import constant, plain_moment, text_of
from app.datasets.engine import literal, rows

Report = dict[str, Any]
HASH_BLOCK_BYTES = 64


def mask(table: StepTable, step: Step, place: Place) -> Report:
    """Asterisks stand for what is hidden, one for each character."""
    return _put_all(table, step, place, lambda column: _masked(text_of(column.cell, column.kind), step))


def _masked(text: str, step: Step) -> str:
    end = ""
    if step["until"] is not None:
        position = f"position({literal(step['until'])} IN {text})"
        end = f" || CASE WHEN {position} > 0 THEN substr({text}, {position}) ELSE '' END"
        text = f"CASE WHEN {position} > 0 THEN left({text}, {position} - 1) ELSE {text} END"
    first, last = step["keep_first"], step["keep_last"]
    hidden = f"repeat('*', length({text}) - {first + last})"
    kept = f"left({text}, {first}) || {hidden} || right({text}, {last})"
    all_hidden = f"repeat('*', length({text}))"
    return f"(CASE WHEN length({text}) > {first + last} THEN {kept} ELSE {all_hidden} END){end}"


def hold_secret(table: StepTable, secret: str) -> None:
    """Keep the key of HMAC (RFC 2104) in the engine, where no query shows it; hexadecimal, of at most 64 bytes."""
    key = bytes.fromhex(secret).ljust(HASH_BLOCK_BYTES, b"\0")
    for name, byte in (("inner_pad", 0x36), ("outer_pad", 0x5C)):
        padded = bytes(each ^ byte for each in key).hex()
        table.connection.execute(f"SET VARIABLE {name} = unhex($1)", [padded])


def pseudonymise(table: StepTable, step: Step, place: Place) -> Report:
    """HMAC-SHA-256 of the cell as UTF-8 text, in hexadecimal, cut to a length.

    The chance that two values got the same pseudonym is at most that of as many values as there are cells.
    """
    inner = "unhex(sha256(getvariable('inner_pad') || encode({})))"
    outer = f"left(sha256(getvariable('outer_pad') || {inner}), {step['length']})"
    told = _put_all(table, step, place, lambda column: outer.format(f"({text_of(column.cell, column.kind)})"))
    num_cells = sum(each["num_cells_changed"] for each in told["columns"].values())
    pairs = num_cells * (num_cells - 1) / 2
    return told | {"collision_probability": min(1.0, pairs / 16.0 ** step["length"])}


def generalise(table: StepTable, step: Step, place: Place) -> Report:
    """Numbers become the names of bands; moments become the beginning of a period, and stay moments."""
    return _put_all(table, step, place, lambda column: _coarse(column, step))


def _coarse(column: StoredColumn, step: Step) -> str:
    if step["to"] is not None:
        return f"make_timestamptz(epoch_us(date_trunc({literal(step['to'])}, {plain_moment(column.cell)})))"
    if step["characters"] is not None:
        return f"left({column.cell}, {step['characters']})"
    if step["edges"] is not None:
        return _between_edges(column, step["edges"])
    return _of_width(column, step["width"])


def _of_width(column: StoredColumn, width: float) -> str:
    """Bands begin at multiples of the width. Whole numbers: "30-39"; others "0.5 to <1", up to rounding."""
    if column.kind == "integer":
        wide, cell = int(width), f"{column.cell}::HUGEINT"
        low = f"({cell} - (({cell} % {wide}) + {wide}) % {wide})"
        if wide == 1:
            return f"({low})::VARCHAR"
        return f"CASE WHEN {low} < 0 THEN {low} || ' to ' ELSE {low} || '-' END || ({low} + {wide - 1})"
    band = f"floor({column.cell} / {width!r})"
    low, high = (f"format('{{:.12g}}', ({band} + {more}) * {width!r} + 0.0)" for more in (0, 1))
    return f"{low} || ' to <' || {high}"


def _between_edges(column: StoredColumn, edges: Sequence[float]) -> str:
    is_whole = column.kind == "integer"
    shown = [str(int(edge)) if edge % 1 == 0 else f"{edge!r}" for edge in edges]
    bands = [f"WHEN {column.cell} < {constant(edges[0], 'real')} THEN '<{shown[0]}'"]
    for (low, low_shown), (high, high_shown) in zip(
        zip(edges, shown, strict=True), list(zip(edges, shown, strict=True))[1:], strict=False
    ):
        name = f"{low_shown} to <{high_shown}"
        if is_whole:
            last = int(high) - 1
            name = low_shown if last == low else f"{low_shown}{' to ' if low < 0 else '-'}{last}"
        bands.append(f"WHEN {column.cell} < {constant(high, 'real')} THEN '{name}'")
    bands.append(f"WHEN {column.cell} IS NOT NULL THEN '>={shown[-1]}'")
    return f"CASE {' '.join(bands)} END"


def suppress_rare(table: StepTable, step: Step, place: Place) -> Report:
    """Values stay that enough rows have; the others become one, or missing."""
    told = {}
    replacement = "NULL" if step["replacement"] is None else literal(step["replacement"])
    for column in named(table.columns, step["columns"], place):
        cell = column.cell
        counts = table.set_aside(
            f"SELECT {cell} AS v, count(*) AS n FROM {table.relation} WHERE v IS NOT NULL GROUP BY v"
        )
        rare = f"FROM {counts} WHERE n < {step['min_count']}"
        ((num_rare, num_changed),) = rows(table.connection, f"SELECT count(*), coalesce(sum(n), 0)::BIGINT {rare}")
        if num_rare:
            frequent = table.set_aside(f"SELECT v FROM {counts} WHERE n >= {step['min_count']}")
            kept = f"CASE WHEN {cell} IS NULL OR {frequent}.v IS NOT NULL THEN {cell} ELSE {replacement} END"
            table.put({cell: kept}, join=f"LEFT JOIN {frequent} ON {cell} = {frequent}.v")
        table.connection.execute(f"DROP TABLE {counts}")
        told[column.name] = {"num_values_suppressed": num_rare, "num_cells_changed": num_changed}
    return {"columns": told}


def _put_all(table: StepTable, step: Step, place: Place, written: Callable[[StoredColumn], str]) -> Report:
    """Replace the cells of the step's columns; those that are not missing count as changed."""
    columns = named(table.columns, step["columns"], place)
    changed = table.ask(", ".join(f"count({column.cell})" for column in columns))
    table.put({column.cell: written(column) for column in columns})
    told = {column.name: {"num_cells_changed": num} for column, num in zip(columns, changed, strict=True)}
    return {"columns": told}


OPERATIONS: Mapping[str, Any] = {
    "mask": mask,
    "pseudonymise": pseudonymise,
    "generalise": generalise,
    "suppress_rare": suppress_rare,
}
