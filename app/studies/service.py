"""Studies: planned, started, looked at, and asked to stop, pause, go on or finish."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.datasets import service as datasets
from app.errors import Conflict, NotFound, Unavailable
from app.ids import new_id
from app.principal import Principal
from app.settings import Settings
from app.studies import journal, planning
from app.studies.schemas import StudyCreate
from app.studies.steering import ACTIVE, advance, lock
from app.tables import StudyRow


def create(session: Session, principal: Principal, request: StudyCreate, settings: Settings) -> StudyRow:
    """Start a study; a worker starts its trials, unless they are external.

    Raises: NotFound for the data set; Invalid pointing at each impossible value; Unavailable when the project has as
    many studies as it may have jobs.
    """
    planning.check_kind(request)
    audit.take_turn(session, principal.project_id)
    dataset = None if request.external else datasets.get_ready(session, principal, request.dataset or "")
    plan = planning.make_plan(session, principal, request, dataset, settings)
    _check_room(session, principal, settings)
    seconds = plan.limits.wall_seconds
    row = StudyRow(
        id=new_id("study"),
        project_id=principal.project_id,
        status="running",
        is_external=request.external,
        dataset_id=dataset.id if dataset else None,
        model=(request.model or dataset.name) if dataset else None,
        plan=plan.model_dump(mode="json"),
        created_at=now(),
        ends_at=now() + timedelta(seconds=seconds) if seconds is not None else None,
    )
    session.add(row)
    session.flush()
    journal.append(session, row, "status", "Started.", status="running")
    audit.record(session, principal, "study.create", row.id, dataset=row.dataset_id, model=row.model)
    session.refresh(row)
    return row


def get(session: Session, principal: Principal, study_id: str) -> StudyRow:
    """A study of the caller's project. Raises: NotFound."""
    row = session.get(StudyRow, study_id)
    if row is None or row.project_id != principal.project_id:
        raise NotFound("study", study_id)
    return row


def get_locked(session: Session, principal: Principal, study_id: str) -> StudyRow:
    """The same, held for this transaction. Raises: NotFound."""
    return lock(session, get(session, principal, study_id).id)


def list_page(
    session: Session, principal: Principal, *, limit: int, after: str | None, status: str | None
) -> Sequence[StudyRow]:
    """Studies of the project, newest first, one more than `limit` if there are more."""
    query = select(StudyRow).where(StudyRow.project_id == principal.project_id)
    if after is not None:
        query = query.where(StudyRow.id < after)
    if status is not None:
        query = query.where(StudyRow.status == status)
    return session.scalars(query.order_by(StudyRow.id.desc()).limit(limit + 1)).all()


def act(session: Session, principal: Principal, study_id: str, action: str) -> StudyRow:
    """Cancel, pause, resume or finish a study, and at once what can be done of it. Raises: NotFound, Conflict."""
    study = get_locked(session, principal, study_id)
    if study.status not in ACTIVE:
        raise Conflict(f"The study has {study.status} already.")
    if study.control == "cancel":
        raise Conflict("The study is being cancelled.")
    if action in ("pause", "resume"):
        _turn(study, action)
        journal.append(session, study, "status", f"{action.capitalize()}d.", status=study.status)
    else:
        study.control = action
        journal.append(session, study, "control", f"Asked to {action}.", control=action)
    session.flush()
    advance(session, study)
    audit.record(session, principal, f"study.{action}", study.id)
    session.refresh(study)
    return study


def _turn(study: StudyRow, action: str) -> None:
    if study.control is not None:
        raise Conflict("The study is being finished.")
    if (action == "pause") == (study.status == "paused"):
        raise Conflict(f"The study is {study.status}.")
    if action == "pause":
        study.status, study.paused_at = "paused", now()
        return
    # The time limit stands still while the study does.
    if study.ends_at is not None and study.paused_at is not None:
        study.ends_at += now() - study.paused_at
    study.status, study.paused_at = "running", None


def _check_room(session: Session, principal: Principal, settings: Settings) -> None:
    active = select(func.count()).where(StudyRow.project_id == principal.project_id, StudyRow.status.in_(ACTIVE))
    if session.scalars(active).one() >= settings.max_queued_jobs:
        raise Unavailable("The project has as many unfinished studies as it may have.", retry_after_seconds=10)
