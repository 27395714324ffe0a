"""Insert a job: that is what puts it into the queue."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.errors import Unavailable
from app.ids import new_id
from app.jobs import journal, queue
from app.principal import Principal
from app.settings import Settings
from app.tables import JobRow


@dataclass(frozen=True)
class Order:
    """What a job shall do; `plan` is all that its worker needs to know besides the data set."""

    kind: str
    dataset_id: str
    plan: dict[str, Any]
    digests: dict[str, str]
    limits: dict[str, Any]
    model: str | None = None
    priority: int = 0
    retry_of: str | None = None
    study_id: str | None = None
    trial: int | None = None
    audited: dict[str, Any] = field(default_factory=dict)


def submit(session: Session, principal: Principal, order: Order, settings: Settings) -> JobRow:
    """Queue a job. Raises: Unavailable when the project's queue is full."""
    unfinished = select(func.count()).where(
        JobRow.project_id == principal.project_id,
        JobRow.status.not_in(queue.TERMINAL),
        JobRow.kind != queue.BESIDE,
    )
    if session.scalars(unfinished).one() >= settings.max_queued_jobs:
        raise Unavailable("The project has as many unfinished jobs as it may have.", retry_after_seconds=10)
    row = insert(session, principal, order)
    audit.record(session, principal, "job.create", row.id, dataset=order.dataset_id, **order.audited)
    session.refresh(row)
    return row


def insert(session: Session, principal: Principal, order: Order) -> JobRow:
    """Put a job into the queue, whoever asked for it and however many there are."""
    row = JobRow(
        id=new_id("job"),
        project_id=principal.project_id,
        kind=order.kind,
        status="queued",
        priority=order.priority,
        dataset_id=order.dataset_id,
        model=order.model,
        plan=order.plan,
        digests=order.digests | {"plan": digest(order.plan)},
        limits=order.limits,
        progress={},
        retry_of=order.retry_of,
        study_id=order.study_id,
        trial=order.trial,
        created_at=now(),
        queued_at=now(),
    )
    session.add(row)
    session.flush()
    journal.append(session, row.id, [journal.event("status", "Queued.", status="queued")])
    return row


def digest(plan: dict[str, Any]) -> str:
    """The SHA-256 of a plan: equal plans on equal data give equal weights."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
