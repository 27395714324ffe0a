"""Conditions and orders as SQL: names and values are quoted, so whatever a client wrote stays a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from app.datasets.asking.conditions import TEXT_OPS, TEXT_TYPES, Condition, Ordering
from app.datasets.engine import identifier, literal

Cell = Callable[[str], str]


def predicate(conditions: Iterable[Condition], cell: Cell = identifier) -> str:
    """SQL that is true for the rows which satisfy every condition; `cell` gives the SQL of a column."""
    return " AND ".join(f"({_test(condition, cell(condition.column))})" for condition in conditions) or "true"


def order_by(orders: Iterable[Ordering], last: str, cell: Cell = identifier) -> str:
    """SQL of an order; `last` decides between rows that are equal in it."""
    terms = [f"{cell(o.column)} {'DESC' if o.descending else 'ASC'} NULLS LAST" for o in orders]
    return ", ".join([*terms, last])


def _test(condition: Condition, cell: str) -> str:
    if condition.op == "missing":
        return f"{cell} IS NULL"
    if condition.op == "present":
        return f"{cell} IS NOT NULL"
    if condition.op == "in":
        return f"{cell} IN ({', '.join(_constant(value, condition.type) for value in condition.value)})"
    value = _constant(condition.value, condition.type)
    if condition.op in TEXT_OPS:
        return f"{condition.op}({cell}, {value})"
    return f"{cell} {condition.op} {value}"


def _constant(value: Any, kind: str) -> str:
    if kind in TEXT_TYPES:
        return literal(value)
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "datetime":
        return f"make_timestamptz({int(value)})"
    if isinstance(value, int):
        return f"{literal(str(value))}::HUGEINT"
    return f"{literal(repr(float(value)))}::DOUBLE"
