"""Trials in the database: begun, reported on, ended, listed; nothing else changes the row of a trial.

Whoever changes one has locked its study first, so that numbers and the best trial are decided one after another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.column_types import now
from app.learning.tuning.samplers import State, Trial
from app.studies import journal
from app.studies.planning import Plan
from app.tables import JobRow, StudyRow, TrialReportRow, TrialRow

TrialAndJob = tuple[TrialRow, str | None]
Reports = dict[int, list[TrialReportRow]]


def begin(session: Session, study: StudyRow, params: dict[str, Any], *, expires_at: datetime | None = None) -> TrialRow:
    """The next trial, with these parameters."""
    row = TrialRow(
        study_id=study.id,
        number=study.num_started,
        state="running",
        params=params,
        created_at=now(),
        expires_at=expires_at,
    )
    session.add(row)
    study.num_started += 1
    session.flush()
    journal.append(session, study, "trial", f"Trial {row.number} started.", trial=row.number, state="running")
    return row


def report(session: Session, trial: TrialRow, step: int, value: float) -> None:
    """Store what a trial has come to at a step."""
    session.add(TrialReportRow(study_id=trial.study_id, number=trial.number, step=step, value=value))
    session.flush()


def end(
    session: Session,
    study: StudyRow,
    plan: Plan,
    trial: TrialRow,
    state: State,
    *,
    value: float | None = None,
    error: dict[str, Any] | None = None,
) -> None:
    """A trial has ended; the first of the best values is the study's best."""
    trial.state, trial.value, trial.error, trial.finished_at, trial.expires_at = state, value, error, now(), None
    session.flush()
    said = f": {value:.6g}" if value is not None else f": {error['message']}" if error else ""
    level = "warning" if state == "failed" else "info"
    message = f"Trial {trial.number} {state}{said.rstrip('.')}."
    journal.append(session, study, "trial", message, level, trial=trial.number, state=state, value=value, error=error)
    if value is None:
        return
    best = find(session, study.id, study.best_trial) if study.best_trial is not None else None
    if best is None or best.value is None or plan.loss(value) < plan.loss(best.value):
        study.best_trial = trial.number
        session.flush()
        message = f"Trial {trial.number} is the best so far: {value:.6g}."
        journal.append(session, study, "best", message, trial=trial.number, value=value)


def find(session: Session, study_id: str, number: int) -> TrialRow | None:
    """A trial by its number, if there is one."""
    return session.get(TrialRow, (study_id, number))


def running(session: Session, study_id: str) -> Sequence[TrialRow]:
    """The trials that have not ended, in order."""
    query = select(TrialRow).where(TrialRow.study_id == study_id, TrialRow.state == "running")
    return session.scalars(query.order_by(TrialRow.number)).all()


def counts(session: Session, study_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each study: how many trials are in each state."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    query = select(TrialRow.study_id, TrialRow.state, func.count()).where(TrialRow.study_id.in_(study_ids))
    for study_id, state, count in session.execute(query.group_by(TrialRow.study_id, TrialRow.state)):
        found[study_id][state] = count
    return found


def history(session: Session, study: StudyRow, plan: Plan) -> list[Trial]:
    """All trials so far, as a sampler sees them."""
    last = (
        select(TrialReportRow.number, func.max(TrialReportRow.step).label("step"))
        .where(TrialReportRow.study_id == study.id)
        .group_by(TrialReportRow.number)
        .subquery()
    )
    reports = select(TrialReportRow).join(
        last,
        (TrialReportRow.study_id == study.id)
        & (TrialReportRow.number == last.c.number)
        & (TrialReportRow.step == last.c.step),
    )
    reported = {row.number: (row.step, plan.reported_loss(row.value)) for row in session.scalars(reports)}
    rows = session.scalars(select(TrialRow).where(TrialRow.study_id == study.id).order_by(TrialRow.number))
    return [
        Trial(
            row.params,
            row.state,  # type: ignore[arg-type]
            None if row.value is None else plan.loss(row.value),
            *reported.get(row.number, (None, None)),
        )
        for row in rows
    ]


def completed(session: Session, study: StudyRow, plan: Plan) -> tuple[list[dict[str, Any]], list[float]]:
    """What was tried to the end, in order, and the loss that each came to."""
    query = select(TrialRow.params, TrialRow.value).where(TrialRow.study_id == study.id, TrialRow.state == "completed")
    rows = session.execute(query.order_by(TrialRow.number)).all()
    return [params for params, _ in rows], [plan.loss(value) for _, value in rows]


def last_step(session: Session, trial: TrialRow) -> int | None:
    """The step of the newest report."""
    query = select(func.max(TrialReportRow.step))
    return session.scalars(
        query.where(TrialReportRow.study_id == trial.study_id, TrialReportRow.number == trial.number)
    ).one()


def list_page(session: Session, study: StudyRow, *, limit: int, after: int, state: str | None) -> list[TrialAndJob]:
    """Trials above a number with the ids of their jobs, in order, one more than `limit` if there are more."""
    query = (
        select(TrialRow, JobRow.id)
        .outerjoin(JobRow, (JobRow.study_id == TrialRow.study_id) & (JobRow.trial == TrialRow.number))
        .where(TrialRow.study_id == study.id, TrialRow.number > after)
    )
    if state is not None:
        query = query.where(TrialRow.state == state)
    return [(trial, job_id) for trial, job_id in session.execute(query.order_by(TrialRow.number).limit(limit + 1))]


def list_reports(session: Session, study: StudyRow, numbers: Sequence[int], *, most: int) -> Reports:
    """What these trials reported, in order; of more than `most` reports an even choice with the last one."""
    number, step = TrialReportRow.number, TrialReportRow.step
    place = func.row_number().over(partition_by=number, order_by=step.desc()) - 1
    stride = (func.count().over(partition_by=number) + (most - 1)) // most
    placed = (
        select(TrialReportRow, (place % stride).label("rest"))
        .where(TrialReportRow.study_id == study.id, TrialReportRow.number.in_(numbers))
        .subquery()
    )
    chosen = select(TrialReportRow).join(
        placed,
        (TrialReportRow.study_id == placed.c.study_id)
        & (TrialReportRow.number == placed.c.number)
        & (TrialReportRow.step == placed.c.step),
    )
    found: Reports = defaultdict(list)
    for row in session.scalars(chosen.where(placed.c.rest == 0).order_by(TrialReportRow.step)):
        found[row.number].append(row)
    return found
