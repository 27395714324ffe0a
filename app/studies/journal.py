"""What happened to a study: events without gaps, as jobs have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.column_types import now
from app.tables import StudyEventRow, StudyRow


def append(session: Session, study: StudyRow, kind: str, message: str, level: str = "info", **data: Any) -> None:
    """Append an event, numbered on from the last one, and raise the study's revision."""
    # The counter on the study's row makes numbers gap-free: two writers take turns at that row.
    seq = session.scalars(
        update(StudyRow)
        .where(StudyRow.id == study.id)
        .values(num_events=StudyRow.num_events + 1, revision=StudyRow.revision + 1)
        .returning(StudyRow.num_events)
        .execution_options(synchronize_session=False)
    ).one()
    event = {"type": kind, "level": level, "message": message, "data": data}
    session.execute(insert(StudyEventRow), [{"study_id": study.id, "seq": seq, "created_at": now(), **event}])


def list_events(session: Session, study_id: str, *, after: int, limit: int) -> Sequence[StudyEventRow]:
    """Events with a number above `after`, in order."""
    query = select(StudyEventRow).where(StudyEventRow.study_id == study_id, StudyEventRow.seq > after)
    return session.scalars(query.order_by(StudyEventRow.seq).limit(limit)).all()
