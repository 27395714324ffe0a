"""How well rows hide among others: k-anonymity over quasi-identifiers, and l-diversity of a sensitive column.

A group is all rows with the same quasi-identifiers; k is the size of the smallest group, l the least number of
different sensitive values in one. A missing value counts as a value. Only counts leave here, nobody's values.

Source: L. Sweeney, "k-anonymity: a model for protecting privacy", 2002; A. Machanavajjhala et al., "l-diversity:
privacy beyond k-anonymity", 2007 (distinct l-diversity).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.datasets.changing.step_columns import named, one_named
from app.datasets.changing.step_table import StepTable
from app.datasets.engine import rows
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress

SMALL_GROUP_ROWS = 5
# The first size of each class of the histogram.
SIZES = (1, 2, 5, 10, 50, 100, 1000)


def anonymity(
    arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `anonymity`: the version `parent` with its `columns`, over `quasi_identifiers`."""
    table = StepTable(inputs, arguments["columns"], limits)
    progress.phase("measuring", table.connection)
    quasi = named(table.columns, arguments["quasi_identifiers"], ("quasi_identifiers",))
    name = arguments.get("sensitive")
    sensitive = None if name is None else one_named(table.columns, name, ("sensitive",)).cell
    return measure(table, [column.cell for column in quasi], sensitive)


def measure(table: StepTable, cells: Sequence[str], sensitive: str | None = None) -> dict[str, Any]:
    """k, the sizes of the groups and, for a sensitive cell, the least diversity; no cells make one group of all."""
    diversity = "NULL" if sensitive is None else f"count(DISTINCT {sensitive}) + (count({sensitive}) < count(*))::INT"
    by = f"GROUP BY {', '.join(cells)}" if cells else ""
    groups = table.set_aside(f"SELECT count(*) AS size, {diversity} AS diversity FROM {table.relation} {by}")
    figures = (
        f"min(size), count(*), coalesce(sum(size) FILTER (WHERE size < {SMALL_GROUP_ROWS}), 0)::BIGINT, min(diversity)"
    )
    ((k, num_groups, num_small, least),) = rows(table.connection, f"SELECT {figures} FROM {groups}")
    found = {
        "k": k,
        "num_groups": num_groups,
        "num_rows_in_small_groups": num_small,
        "group_sizes": _histogram(table, groups),
    }
    table.connection.execute(f"DROP TABLE {groups}")
    return found if sensitive is None else found | {"diversity": least}


def _histogram(table: StepTable, groups: str) -> list[dict[str, Any]]:
    classes = []
    for first, end in zip(SIZES, (*SIZES[1:], None), strict=True):
        within = f"size >= {first}" + ("" if end is None else f" AND size < {end}")
        classes.append(f"count(*) FILTER (WHERE {within}), coalesce(sum(size) FILTER (WHERE {within}), 0)::BIGINT")
    figures = iter(rows(table.connection, f"SELECT {', '.join(classes)} FROM {groups}")[0])
    return [
        {"size": _shown_class(first, end), "num_groups": next(figures), "num_rows": next(figures)}
        for first, end in zip(SIZES, (*SIZES[1:], None), strict=True)
    ]


def _shown_class(first: int, end: int | None) -> str:
    if end is None:
        return f"{first}+"
    return f"{first}" if end == first + 1 else f"{first}-{end - 1}"
