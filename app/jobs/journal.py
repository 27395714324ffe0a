"""What a job leaves behind while it runs: events without gaps, checkpoints, snapshots, and what its processes wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.column_types import now
from app.tables import CheckpointRow, JobEventRow, JobLogRow, JobRow, PredictionBlockRow, SnapshotRow

NUM_CHECKPOINTS_KEPT = 2


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


def store_checkpoint(session: Session, row: CheckpointRow) -> None:
    """List a checkpoint and forget all but the newest."""
    # An attempt that went on from an older checkpoint reaches the same step again, with the same bytes.
    session.execute(delete(CheckpointRow).where(CheckpointRow.job_id == row.job_id, CheckpointRow.step == row.step))
    session.add(row)
    session.flush()
    newest = _by_step(row.job_id).with_only_columns(CheckpointRow.id).limit(NUM_CHECKPOINTS_KEPT)
    session.execute(delete(CheckpointRow).where(CheckpointRow.job_id == row.job_id, CheckpointRow.id.not_in(newest)))


def newest_checkpoint(session: Session, job_id: str) -> CheckpointRow | None:
    """Where the next attempt goes on."""
    return session.scalars(_by_step(job_id).limit(1)).first()


def list_checkpoints(session: Session, job_id: str) -> Sequence[CheckpointRow]:
    """The stored checkpoints of a job, newest first."""
    return session.scalars(_by_step(job_id)).all()


def store_snapshot(session: Session, job_id: str, snapshot: dict[str, Any]) -> None:
    """Keep the best weights so far of a job in place of those before."""
    session.execute(delete(SnapshotRow).where(SnapshotRow.job_id == job_id))
    session.execute(insert(SnapshotRow), [{"job_id": job_id, "created_at": now(), **snapshot}])


def forget_unfinished(session: Session, job_id: str) -> None:
    """Drop what a job that has ended leaves in the middle: best weights so far, blocks of answers.

    They are part of a version or of a data set now, or nothing.
    """
    for table in (SnapshotRow, PredictionBlockRow):
        session.execute(delete(table).where(table.job_id == job_id))


def append_log(session: Session, job_id: str, attempt: int, text: str) -> None:
    """Store a piece of what a process of the job wrote."""
    last = session.scalars(select(func.max(JobLogRow.seq)).where(JobLogRow.job_id == job_id)).one() or 0
    session.add(JobLogRow(job_id=job_id, seq=last + 1, attempt=attempt, text=text, created_at=now()))
    session.flush()


def list_events(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[JobEventRow]:
    """Events with a number above `after`, in order."""
    query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.seq > after)
    return session.scalars(query.order_by(JobEventRow.seq).limit(limit)).all()


def list_logs(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[JobLogRow]:
    """Pieces of log with a number above `after`, in order."""
    query = select(JobLogRow).where(JobLogRow.job_id == job_id, JobLogRow.seq > after)
    return session.scalars(query.order_by(JobLogRow.seq).limit(limit)).all()


def _by_step(job_id: str) -> Select[CheckpointRow]:
    return select(CheckpointRow).where(CheckpointRow.job_id == job_id).order_by(CheckpointRow.step.desc())
