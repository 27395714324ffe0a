"""What was decided about every column, for people: part of a model's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.learning.columns import CategoryColumn, FittedColumn, LeftOut, NumericColumn
from app.learning.data import Table, is_missing
from app.learning.preprocess import Preparation
from app.learning.values import iso

Example = str | float | int | bool


def describe(preparation: Preparation, examples: Mapping[str, Example]) -> list[dict[str, Any]]:
    """Return one JSON object per column: role, type, treatment with its numbers, or why it is left out."""
    return [_describe(column, examples.get(column.name)) for column in preparation.columns]


def _describe(column: FittedColumn, example: Example | None) -> dict[str, Any]:
    if isinstance(column, LeftOut):
        return {"name": column.name, "type": column.stored, "role": "left_out", "reason": column.reason}
    known: dict[str, Any] = {"name": column.name, "type": column.stored, "example": example}
    if column.type != column.stored:
        known["read_as"] = column.type
    return known | (_numeric(column) if isinstance(column, NumericColumn) else _category(column))


def _numeric(column: NumericColumn) -> dict[str, Any]:
    return {
        "role": "numeric",
        "missing": {"strategy": column.missing, "fill": column.fill, "indicator": column.indicator},
        "scaling": {"method": column.scaling, "center": column.center, "scale": column.scale},
        "minimum": column.minimum,
        "maximum": column.maximum,
        "out_of_range": column.out_of_range,
        "wrong_type": column.wrong_type,
    }


def _category(column: CategoryColumn) -> dict[str, Any]:
    return {
        "role": "category",
        "missing": {"strategy": column.missing, "fill": column.fill, "indicator": column.has_missing},
        "encoding": column.encoding,
        "categories": list(column.categories),
        "other": column.has_other,
        "unseen": column.unseen,
        "wrong_type": column.wrong_type,
    }


def examples_of(table: Table, stored: Mapping[str, str]) -> dict[str, Example]:
    """Return the first value that is there of every column, as a client would send it."""
    found = {}
    for name, values in table.columns.items():
        present = (~is_missing(values)).nonzero()[0]
        if len(present):
            found[name] = _as_sent(values[present[0]], stored[name])
    return found


def _as_sent(value: Any, stored: str) -> Example:
    if stored == "boolean":
        return bool(value)
    if stored == "datetime":
        return iso(float(value))
    if stored == "integer":
        return int(value)
    return float(value) if stored == "real" else str(value)
