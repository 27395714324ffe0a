"""Values of a stored table as SQL: how a cell reads as text, and how a value of a type is written."""

from __future__ import annotations

from typing import Any

from app.datasets.engine import literal
from app.datasets.reading.casts import EXACT_INTEGERS, STRINGS


def text_of(cell: str, kind: str) -> str:
    """SQL for a cell as text: moments as in JSON rows, whole real numbers as integers; missing stays missing."""
    if kind in STRINGS:
        return cell
    if kind == "real":
        is_whole = f"abs({cell}) < {EXACT_INTEGERS} AND {cell} = trunc({cell})"
        return f"CASE WHEN {is_whole} THEN {cell}::BIGINT::VARCHAR ELSE {cell}::VARCHAR END"
    if kind == "datetime":
        seconds, fraction = (f"strftime({plain_moment(cell)}, '%Y-%m-%dT%H:%M:%S{more}Z')" for more in ("", ".%f"))
        return f"CASE WHEN epoch_us({cell}) % 1000000 = 0 THEN {seconds} ELSE {fraction} END"
    return f"{cell}::VARCHAR"


def plain_moment(cell: str) -> str:
    """SQL for a moment as the engine's functions take it without knowing time zones."""
    return f"make_timestamp(epoch_us({cell}))"


def constant(value: Any, kind: str) -> str:
    """SQL for a value that typed_values.typed has passed."""
    if kind in STRINGS:
        return literal(value)
    if kind == "boolean":
        return str(value).lower()
    if kind == "datetime":
        return f"make_timestamptz({value})"
    # As text, because the engine reads the literal of the least integer as a larger type.
    return f"'{value!r}'::{'BIGINT' if kind == 'integer' else 'DOUBLE'}"
