"""A study and its trials brought in line: with what jobs have done, what the owner asked for, and the time.

It looks at how things are, not at what has changed, so it may be called at any time, by any worker and by requests;
what a killed process left undone is done by the next look. The caller has locked the study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.durable import Blob
from app.jobs import journal as job_journal
from app.jobs import queue
from app.models import service as models
from app.principal import Principal
from app.studies import journal, pruning, trials
from app.studies.planning import Plan, plan_of
from app.tables import JobMetricRow, JobRow, StudyRow, TrialRow

ACTIVE = ("running", "paused")
CANCELLED = {"code": "cancelled", "message": "The job was cancelled."}
GIVEN_UP = {"code": "given-up", "message": "The study ended first."}
EXPIRED = {"code": "lease-expired", "message": "Nothing was heard of it for too long."}
NONE_COMPLETED = {"code": "no-trial-completed", "message": "No trial was completed, so there is no best one."}
Pairs = Sequence[tuple[TrialRow, JobRow]]


def lock(session: Session, study_id: str) -> StudyRow:
    """The study, held for this transaction."""
    query = select(StudyRow).where(StudyRow.id == study_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def advance(session: Session, study: StudyRow) -> None:
    """Do all that can be done now, except for starting trials."""
    if study.status not in ACTIVE:
        return
    plan = plan_of(study)
    _look_at_the_time(session, study)
    if study.is_external:
        _give_up(session, study, plan)
    else:
        pairs = _running(session, study)
        for trial, job in pairs:
            _relay(session, study, plan, trial, job)
            _steer(session, study, job)
            if job.status in queue.TERMINAL:
                _conclude(session, study, plan, trial, job)
        if any(job.status in queue.TERMINAL for _, job in pairs):
            _forget_results(session, study, keep=study.best_trial)
    is_over = study.control is not None or study.num_started >= plan.num_trials
    if is_over and not trials.running(session, study.id):
        _end(session, study)


def _look_at_the_time(session: Session, study: StudyRow) -> None:
    is_late = study.ends_at is not None and study.status == "running" and now() >= study.ends_at
    if is_late and study.control is None:
        study.control = "finish"
        session.flush()
        journal.append(session, study, "control", "The time limit was reached.", control="finish")


def _give_up(session: Session, study: StudyRow, plan: Plan) -> None:
    """End external trials whose client fell silent, or all when the study is over."""
    for trial in trials.running(session, study.id):
        if study.control is not None:
            trials.end(session, study, plan, trial, "failed", error=GIVEN_UP)
        elif trial.expires_at is not None and now() >= trial.expires_at:
            trials.end(session, study, plan, trial, "failed", error=EXPIRED)


def _running(session: Session, study: StudyRow) -> Pairs:
    query = (
        select(TrialRow, JobRow)
        .join(JobRow, (JobRow.study_id == TrialRow.study_id) & (JobRow.trial == TrialRow.number))
        .where(TrialRow.study_id == study.id, TrialRow.state == "running")
        .order_by(TrialRow.number)
        .with_for_update(of=JobRow)
        .execution_options(populate_existing=True)
    )
    return [(trial, job) for trial, job in session.execute(query)]


def _relay(session: Session, study: StudyRow, plan: Plan, trial: TrialRow, job: JobRow) -> None:
    """Report the validation losses of new epochs; cancel a training that has no hope: its weights are not wanted."""
    last = trials.last_step(session, trial) or 0
    epochs = (JobMetricRow.job_id == job.id, JobMetricRow.kind == "epoch", JobMetricRow.position > last)
    for row in session.scalars(select(JobMetricRow).where(*epochs).order_by(JobMetricRow.position)).all():
        loss, epoch = row.values.get("validation_loss"), row.position
        if loss is None or not math.isfinite(loss):
            continue
        trials.report(session, trial, epoch, loss)
        is_open = trial.pruned_step is None and job.status not in queue.TERMINAL and job.control != "cancel"
        if is_open and pruning.is_hopeless(session, plan, trial, after=last, step=epoch):
            trial.pruned_step = epoch
            message = f"Pruned at epoch {epoch}: other trials of {study.id} were better there."
            job_journal.append(session, job.id, [job_journal.event("message", message, study=study.id)])
            queue.cancel(session, job)
        last = epoch


def _steer(session: Session, study: StudyRow, job: JobRow) -> None:
    """Ask of a trial's job what the study is asked to do, once."""
    if job.status in queue.TERMINAL or job.control == "cancel":
        return
    if study.control == "cancel" or (study.control == "finish" and job.status != "running"):
        queue.cancel(session, job)
    elif study.control == "finish":
        if job.control != "finish":
            queue.finish(session, job)
    elif study.status == "paused":
        if job.status != "paused" and job.control is None:
            queue.pause(session, job)
    elif job.status == "paused":
        queue.resume(session, job)


def _conclude(session: Session, study: StudyRow, plan: Plan, trial: TrialRow, job: JobRow) -> None:
    if job.status == "succeeded":
        value = ((job.metrics or {}).get("validation") or {}).get(plan.metric)
        if value is not None:
            # It was through before it could be stopped.
            trial.pruned_step = None
            trials.end(session, study, plan, trial, "completed", value=value)
            return
        error: dict[str, Any] = {"code": "no-value", "message": f"The validation part gave no {plan.metric}."}
        trials.end(session, study, plan, trial, "failed", error=error)
    elif job.status == "cancelled" and trial.pruned_step is not None:
        trials.end(session, study, plan, trial, "pruned")
    else:
        trials.end(session, study, plan, trial, "failed", error=job.error or CANCELLED)


def _forget_results(session: Session, study: StudyRow, *, keep: int | None) -> None:
    """Let go of what ended trials made, all but the best one's: their bytes are swept up as nobody names them."""
    ended = select(TrialRow.number).where(TrialRow.study_id == study.id, TrialRow.state != "running")
    losers = update(JobRow).where(JobRow.study_id == study.id, JobRow.result.is_not(None), JobRow.trial.in_(ended))
    if keep is not None:
        losers = losers.where(JobRow.trial != keep)
    session.execute(losers.values(result=None).execution_options(synchronize_session=False))


def _end(session: Session, study: StudyRow) -> None:
    status = "failed" if study.best_trial is None else "succeeded"
    if study.control == "cancel":
        status = "cancelled"
    if status == "succeeded" and not study.is_external:
        study.model_version = _publish(session, study)
    study.status, study.control, study.finished_at = status, None, now()
    study.error = NONE_COMPLETED if status == "failed" else None
    session.flush()
    _forget_results(session, study, keep=None)
    result = f"{study.model}@{study.model_version}" if study.model_version else None
    message = f"{status.capitalize()}{f': {result}' if result else ''}."
    level = "error" if status == "failed" else "info"
    journal.append(session, study, "status", message, level, status=status, best=study.best_trial, model_version=result)
    principal = Principal(study.project_id, "", frozenset())
    audit.record(session, principal, f"study.{status}", study.id, best=study.best_trial, result=result)


def _publish(session: Session, study: StudyRow) -> int:
    """The best trial as a version: what its training made, bit for bit."""
    query = select(JobRow).where(JobRow.study_id == study.id, JobRow.trial == study.best_trial)
    job = session.scalars(query.execution_options(populate_existing=True)).one()
    kept = job.result or {}
    files = {name: Blob(**blob) for name, blob in kept["files"].items()}
    version = models.add_version(session, job, manifest=kept["manifest"], metrics=job.metrics or {}, files=files)
    session.execute(
        update(JobRow)
        .where(JobRow.id == job.id)
        .values(model_version=version, revision=JobRow.revision + 1)
        .execution_options(synchronize_session=False)
    )
    return version
