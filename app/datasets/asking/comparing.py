"""How two stored tables differ: columns that came, went or changed type, and how far each distribution moved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.asking.samples import CLASSES, NUMBERS, Sample, sample, values
from app.datasets.asking.stored import Columns, connect_to, open_stored
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress

MAX_ROWS = 1_000_000
# Below this many rows chance alone moves the index over the first threshold.
FEW_ROWS = 500
MODERATE, LARGE = 0.1, 0.25
MISSING_SHARE_MOVED = 0.05
NEW_VALUES_SHARE = 0.01


def compare(
    arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `diff`: what the table `other` has that `base` has not, and the other way around."""
    connection = connect_to(inputs, limits)
    progress.phase("comparing", connection)
    sides = {side: _open(connection, side, arguments[side]) for side in ("base", "other")}
    base, other = (sides[side].table.types for side in sides)
    changed = {name for name in base if name in other and base[name] != other[name]}
    columns = _compared(connection, sides["base"], sides["other"])
    found: dict[str, Any] = {
        "num_rows": {side: sampled.num_rows for side, sampled in sides.items()},
        "is_sampled": any(sampled.every > 1 for sampled in sides.values()),
        "columns_added": [name for name in other if name not in base],
        "columns_removed": [name for name in base if name not in other],
        "types_changed": [{"name": name, "base": base[name], "other": other[name]} for name in base if name in changed],
        "columns": columns,
    }
    return found | {"warnings": list(_warnings(found))}


def _open(connection: duckdb.DuckDBPyConnection, side: str, columns: Columns) -> Sample:
    return sample(connection, open_stored(connection, side, columns), MAX_ROWS)


def _compared(connection: duckdb.DuckDBPyConnection, base: Sample, other: Sample) -> list[dict[str, Any]]:
    from app.datasets.asking import shifts

    names = [name for name in base.table.types if name in other.table.types]
    pairs = zip(values(connection, base, names), values(connection, other, names), strict=True)
    columns = []
    for (name, before), (_, after) in pairs:
        kinds = {side.table.types[name] for side in (base, other)}
        shift: dict[str, Any] = {"psi": None, "distance": None, "new_values_share": None}
        if kinds <= NUMBERS - {"datetime"} or kinds == {"datetime"}:
            shift |= shifts.of_numbers(before, after)
        elif kinds <= CLASSES and len(kinds) == 1:
            shift |= shifts.of_classes(before, after)
        missing = {"base": shifts.missing_share(before), "other": shifts.missing_share(after)}
        word = None if shift["psi"] is None else _word(shift["psi"])
        columns.append({"name": name, "missing_share": missing, **shift, "shift": word})
    return columns


def _word(psi: float) -> str:
    return "none" if psi < MODERATE else "moderate" if psi < LARGE else "large"


def _warnings(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    warnings = [
        _warning(name, "column-removed", "The other table has no such column.") for name in found["columns_removed"]
    ]
    for change in found["types_changed"]:
        detail = f"Its type was {change['base']} and is {change['other']}."
        warnings.append(_warning(change["name"], "type-changed", detail))
    for column in found["columns"]:
        warnings += _warnings_of(column)
    few = min(found["num_rows"].values())
    if few < FEW_ROWS:
        detail = f"With {few:,} rows on one side, chance alone may look like a shift."
        warnings.append(_warning(None, "few-rows", detail))
    return warnings


def _warnings_of(column: Mapping[str, Any]) -> list[dict[str, Any]]:
    warnings = []
    before, after = column["missing_share"]["base"], column["missing_share"]["other"]
    if abs(after - before) > MISSING_SHARE_MOVED:
        detail = f"{before:.1%} of its cells were missing, now {after:.1%} are."
        warnings.append(_warning(column["name"], "missing-shift", detail))
    if column["shift"] == "large":
        detail = f"Its distribution moved far: the stability index is {column['psi']:.2f}."
        warnings.append(_warning(column["name"], "distribution-shift", detail))
    if (column["new_values_share"] or 0) > NEW_VALUES_SHARE:
        detail = f"{column['new_values_share']:.1%} of its cells hold values that were not there before."
        warnings.append(_warning(column["name"], "new-values", detail))
    return warnings


def _warning(column: str | None, code: str, detail: str) -> dict[str, Any]:
    return {"column": column, "code": code, "detail": detail}
