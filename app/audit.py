"""Who did what to which object: written in the transaction of the change, each entry chained to the one before."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.column_types import now
from app.principal import Principal
from app.tables import AuditRow, ProjectRow

BEGINNING = "0" * 64


def record(session: Session, principal: Principal, action: str, key: str, **data: Any) -> None:
    """Append an entry to the project's chain."""
    take_turn(session, principal.project_id)
    last = session.scalars(
        select(AuditRow).where(AuditRow.project_id == principal.project_id).order_by(AuditRow.seq.desc()).limit(1)
    ).first()
    row = AuditRow(
        project_id=principal.project_id,
        seq=last.seq + 1 if last else 1,
        key_id=principal.key_id,
        action=action,
        object=key,
        outcome="ok",
        request_id=principal.request_id,
        data=data,
        previous_sha256=last.sha256 if last else BEGINNING,
        created_at=now(),
    )
    row.sha256 = digest(row)
    session.add(row)
    session.flush()


def take_turn(session: Session, project_id: str) -> None:
    """Hold back other writers of the project until this transaction ends, as numbering things one by one needs."""
    session.execute(select(ProjectRow.id).where(ProjectRow.id == project_id).with_for_update())


def digest(row: AuditRow) -> str:
    """The SHA-256 that chains an entry: over its values and the digest before it."""
    fields = [
        row.project_id,
        row.seq,
        row.key_id,
        row.action,
        row.object,
        row.outcome,
        row.request_id,
        row.data,
        row.previous_sha256,
        row.created_at.isoformat(timespec="microseconds"),
    ]
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def verify(session: Session, project_id: str) -> int | None:
    """The number of the first entry that was changed or is missing, or None when the chain is whole."""
    previous, expected = BEGINNING, 1
    for row in session.scalars(select(AuditRow).where(AuditRow.project_id == project_id).order_by(AuditRow.seq)):
        if row.seq != expected or row.previous_sha256 != previous or digest(row) != row.sha256:
            return expected
        previous, expected = row.sha256, expected + 1
    return None
