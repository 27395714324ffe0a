"""The curves of a job: points as they come, and what is asked of them by range and resolution.

The number of points grows with the logarithm of the length of a job (see learning/curves.py), so all of them are read
and put together here. An answer has at most as many points as the resolution says: the first and the last as they are,
and between them one for each of equal parts of the axis, with the mean and the extremes of all that lies in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.orm import Session

from app.column_types import now
from app.tables import JobMetricRow

Axis = Literal["step", "epoch", "seconds"]
Kind = Literal["step", "epoch", "sample"]


class Stored(NamedTuple):
    """A point as it is stored; it covers what lies after the `position` before it."""

    kind: Kind
    position: int
    step: int
    epoch: float
    seconds: float
    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]


@dataclass
class Series:
    """One curve along an axis; `low` and `high` are the extremes around each `y`."""

    name: str
    kind: Kind
    num_points: int = 0
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)


class Value(NamedTuple):
    """A point of one series; `weight` is how much it covers."""

    x: float
    y: float
    low: float
    high: float
    weight: float


def append(session: Session, job_id: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Store points, each with the members of `Stored`."""
    if points:
        session.execute(insert(JobMetricRow), [{"job_id": job_id, "created_at": now(), **point} for point in points])


def drop(session: Session, job_id: str, *, after_step: int) -> None:
    """Forget what later steps told, which an attempt is going to tell again; samples were taken, and stay."""
    later = (JobMetricRow.job_id == job_id, JobMetricRow.step > after_step, JobMetricRow.kind != "sample")
    session.execute(delete(JobMetricRow).where(*later))


def last_sample(session: Session, job_id: str) -> int:
    """The position of the last sample of what the job uses, 0 before the first."""
    samples = (JobMetricRow.job_id == job_id, JobMetricRow.kind == "sample")
    return session.scalars(select(func.max(JobMetricRow.position)).where(*samples)).one() or 0


def read(
    session: Session,
    job_id: str,
    *,
    after: Mapping[Kind, int] | None = None,
    from_step: int | None = None,
    to_step: int | None = None,
) -> list[Stored]:
    """The points of a job in their order; `after` holds the last positions already known, by kind."""
    query = select(*(getattr(JobMetricRow, name) for name in Stored._fields)).where(JobMetricRow.job_id == job_id)
    if after:
        known = [(JobMetricRow.kind == kind) & (JobMetricRow.position <= last) for kind, last in after.items()]
        query = query.where(~or_(*known))
    if from_step is not None:
        query = query.where(JobMetricRow.step >= from_step)
    if to_step is not None:
        query = query.where(JobMetricRow.step <= to_step)
    rows = session.execute(query.order_by(JobMetricRow.kind, JobMetricRow.position))
    return [Stored(*row) for row in rows]


def series(
    points: Sequence[Stored], *, axis: Axis, resolution: int, names: frozenset[str] | None = None
) -> list[Series]:
    """The curves that points make, by name; each of at most `resolution` points."""
    values: dict[tuple[str, Kind], list[Value]] = {}
    before: dict[Kind, int] = {}
    for point in points:
        weight = point.position - before.get(point.kind, point.position - 1)
        before[point.kind] = point.position
        x = getattr(point, axis)
        for name, y in point.values.items():
            if names is None or name in names:
                value = Value(x, y, point.low.get(name, y), point.high.get(name, y), weight)
                values.setdefault((name, point.kind), []).append(value)
    return [_thinned(name, kind, values[name, kind], resolution) for name, kind in sorted(values)]


def _thinned(name: str, kind: Kind, values: list[Value], resolution: int) -> Series:
    made = Series(name, kind, num_points=len(values))
    kept = values if len(values) <= resolution else _merged(values, resolution)
    for value in kept:
        made.x.append(value.x)
        made.y.append(value.y)
        made.low.append(value.low)
        made.high.append(value.high)
    return made


def _merged(values: list[Value], resolution: int) -> list[Value]:
    first, *between, last = values
    num_parts = resolution - 2
    parts: list[list[Value]] = [[] for _ in range(num_parts)]
    width = (last.x - first.x) / num_parts if num_parts else 0.0
    for value in between if num_parts else ():
        part = int((value.x - first.x) / width) if width else 0
        parts[min(max(part, 0), num_parts - 1)].append(value)
    return [first, *(_mean(part) for part in parts if part), last]


def _mean(part: list[Value]) -> Value:
    weight = sum(value.weight for value in part)
    y = sum(value.y * value.weight for value in part) / weight
    return Value(part[-1].x, y, min(value.low for value in part), max(value.high for value in part), weight)
