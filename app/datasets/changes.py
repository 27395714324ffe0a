"""Versions made from a version: the drafts of transforming, appending and erasing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.datasets.changing.step_columns import check_steps
from app.datasets.intake import order_to_read
from app.datasets.options import ReadOptions
from app.datasets.overrides import carried
from app.datasets.receive import Received
from app.datasets.service import Draft
from app.tables import DatasetRow

Step = dict[str, Any]


def transform(row: DatasetRow, steps: Sequence[Step], quasi_identifiers: Sequence[str] | None) -> Draft:
    """The version that recorded steps make of this one. Raises: Invalid, pointing at a step that does not fit."""
    # The child checks once more; here it costs a request nothing to be told at once.
    check_steps(row.columns, steps)
    asked = {"steps": list(steps)} | ({"quasi_identifiers": list(quasi_identifiers)} if quasi_identifiers else {})
    return _next(row, "transform", asked, asked)


def append(row: DatasetRow, received: Received, options: ReadOptions) -> Draft:
    """The version with the rows of a file after those of this one. Raises: UnsupportedMedia, Invalid."""
    order = order_to_read(received, options)
    added = {name: order[name] for name in ("format", "content_type", "filename")}
    return _next(row, "append", {name: order[name] for name in order if name != "operation"}, {"added": added})


def erase(row: DatasetRow, column: str, values: Sequence[Any]) -> Draft:
    """The version without the rows of some subjects; its origin tells how many, never who."""
    order = {"column": column, "values": list(values)}
    return _next(row, "erase", order, {"column": column, "num_values": len(values)})


def _next(row: DatasetRow, operation: str, order: dict[str, Any], told: dict[str, Any]) -> Draft:
    return Draft(
        name=row.name,
        origin={"operation": operation, **told, **carried(row)},
        order={"operation": operation, "columns": row.columns, **order},
        inputs={"parent": row.parquet_sha256},
        parent_id=row.id,
    )
