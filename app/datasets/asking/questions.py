"""Questions about stored tables, each answered by a sandboxed child; this side only states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.datasets.asking.conditions import Condition, Ordering, refusal
from app.datasets.asking.exports import EXPORT, Form
from app.datasets.limits import IngestLimits, invalid, shown
from app.datasets.process import Work, run
from app.sandbox import Mode

TARGET_TYPES = frozenset({"category", "boolean", "integer", "real"})

Columns = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Asking:
    """Where a child works, and what it may cost."""

    folder: Path
    limits: IngestLimits
    sandbox: Mode = "best-effort"


@dataclass(frozen=True)
class Table:
    """Where a stored table lies, and its columns."""

    parquet: Path
    columns: Columns


@dataclass(frozen=True)
class RowsQuery:
    """A page of the rows that satisfy conditions, in an order, and the columns to show."""

    conditions: Sequence[Condition]
    sort: Sequence[Ordering]
    shown: Sequence[str]
    offset: int
    limit: int


def find_rows(parquet: Path, columns: Columns, query: RowsQuery, asking: Asking) -> tuple[list[dict[str, Any]], int]:
    """The page, and how many rows satisfy the conditions. Raises as `process.run`."""
    arguments = {**asdict(query), "columns": names_and_types(columns)}
    answer = _ask(Work("rows", arguments, {"stored": parquet}), asking, data=list, num_rows=int)
    return answer["data"], answer["num_rows"]


def export(parquet: Path, columns: Columns, form: Form, asking: Asking) -> Path:
    """The table in a form, as a file in the folder of the work. Raises as `process.run`."""
    arguments = {**asdict(form), "columns": names_and_types(columns)}
    _ask(Work("export", arguments, {"stored": parquet}, (EXPORT,), "The table cannot be exported."), asking)
    return asking.folder / EXPORT


def difference(base: Table, other: Table, asking: Asking) -> dict[str, Any]:
    """What `other` has that `base` has not: the members of DiffRead but its ids. Raises as `process.run`."""
    arguments = {"base": names_and_types(base.columns), "other": names_and_types(other.columns)}
    work = Work("diff", arguments, {"base": base.parquet, "other": other.parquet})
    return _ask(work, asking, num_rows=dict, columns=list, warnings=list)


def leaks(parquet: Path, columns: Columns, target: str, asking: Asking) -> dict[str, Any]:
    """Which columns know the target: the members of LeaksRead but the ids. Raises as `process.run`, and Invalid."""
    types = {column["name"]: column["type"] for column in columns}
    if target not in types:
        raise refusal("query:target", f"There is no column {shown(target)}.")
    if types[target] not in TARGET_TYPES:
        raise refusal(
            "query:target", f"A column of type {types[target]} is no target; it must hold categories or numbers."
        )
    arguments = {"columns": names_and_types(columns), "target": target}
    return _ask(Work("leaks", arguments, {"stored": parquet}), asking, task=str, columns=list, warnings=list)


def anonymity(
    parquet: Path, columns: Columns, quasi_identifiers: Sequence[str], sensitive: str | None, asking: Asking
) -> dict[str, Any]:
    """How well rows hide among others: the members of AnonymityRead that are figures. Raises as `process.run`."""
    arguments = {"columns": list(columns), "quasi_identifiers": list(quasi_identifiers), "sensitive": sensitive}
    return _ask(Work("anonymity", arguments, {"parent": parquet}), asking, k=int, num_groups=int, group_sizes=list)


def names_and_types(columns: Columns) -> list[dict[str, str]]:
    """All that a child needs to know of the columns."""
    return [{"name": column["name"], "type": column["type"]} for column in columns]


def _ask(work: Work, asking: Asking, **parts: type) -> dict[str, Any]:
    """The parts of the answer, which is not taken on trust: the child has seen bytes of strangers."""
    answer = run(work, folder=asking.folder, limits=asking.limits, sandbox=asking.sandbox)
    for name, kind in parts.items():
        if not isinstance(answer.get(name), kind):
            raise invalid(work.failure)
    return answer
