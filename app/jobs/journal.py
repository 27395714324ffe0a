"""What a job leaves behind while it runs: events without gaps, metrics by step, and what its processes wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.tables import JobEventRow, JobLogRow, JobMetricRow, JobRow, now


def event(kind: str, message: str, level: str = "info", **data: Any) -> dict[str, Any]:
    """An event, ready to be appended."""
    return {"type": kind, "level": level, "message": message, "data": data}


def append(session: Session, job_id: str, events: Sequence[dict[str, Any]]) -> None:
    """Append events, numbered on from the last one."""
    if not events:
        return
    # The counter on the job's row makes numbers gap-free: two writers take turns at that row.
    last = session.scalars(
        update(JobRow)
        .where(JobRow.id == job_id)
        .values(num_events=JobRow.num_events + len(events))
        .returning(JobRow.num_events)
        .execution_options(synchronize_session=False)
    ).one()
    numbered = enumerate(events, start=last - len(events) + 1)
    rows = [{"job_id": job_id, "seq": seq, "created_at": now(), **each} for seq, each in numbered]
    session.execute(insert(JobEventRow), rows)


def append_metrics(session: Session, job_id: str, metrics: Sequence[dict[str, Any]]) -> None:
    """Store the values of steps: each item has step, epoch and values."""
    if metrics:
        session.execute(insert(JobMetricRow), [{"job_id": job_id, "created_at": now(), **row} for row in metrics])


def drop_metrics(session: Session, job_id: str, *, after_step: int) -> None:
    """Forget the values of later steps, which an attempt is going to report again."""
    session.execute(delete(JobMetricRow).where(JobMetricRow.job_id == job_id, JobMetricRow.step > after_step))


def append_log(session: Session, job_id: str, attempt: int, text: str) -> None:
    """Store a piece of what a process of the job wrote."""
    last = session.scalars(select(func.max(JobLogRow.seq)).where(JobLogRow.job_id == job_id)).one() or 0
    session.add(JobLogRow(job_id=job_id, seq=last + 1, attempt=attempt, text=text, created_at=now()))
    session.flush()


def list_events(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[JobEventRow]:
    """Events with a number above `after`, in order."""
    query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.seq > after)
    return session.scalars(query.order_by(JobEventRow.seq).limit(limit)).all()


def list_metrics(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[JobMetricRow]:
    """Metrics of steps above `after`, in order."""
    query = select(JobMetricRow).where(JobMetricRow.job_id == job_id, JobMetricRow.step > after)
    return session.scalars(query.order_by(JobMetricRow.step).limit(limit)).all()


def list_logs(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[JobLogRow]:
    """Pieces of log with a number above `after`, in order."""
    query = select(JobLogRow).where(JobLogRow.job_id == job_id, JobLogRow.seq > after)
    return session.scalars(query.order_by(JobLogRow.seq).limit(limit)).all()
