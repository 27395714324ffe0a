"""Jobs: checked, submitted, looked at, and asked to stop, pause, go on or finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import audit
from app.datasets import service as datasets
from app.errors import Conflict, Invalid, NotFound, PreconditionFailed
from app.jobs import journal, queue, submission
from app.jobs.batch_schemas import PredictionCreate
from app.jobs.evaluation_schemas import EvaluationCreate
from app.jobs.reproduction import plan_again
from app.jobs.schemas import JobCreate, JobPatch
from app.learning import specs as learned_specs
from app.learning.declared.spec import make_spec
from app.learning.errors import LearningError
from app.learning.plan import plan as make_plan
from app.learning.spec import Spec
from app.models import service as models
from app.principal import Principal
from app.settings import Settings
from app.specs import service as specs
from app.tables import CheckpointRow, DatasetRow, JobRow


def submit(
    session: Session,
    principal: Principal,
    request: JobCreate,
    settings: Settings,
    *,
    study_id: str | None = None,
    trial: int | None = None,
) -> JobRow:
    """Queue a training job, which may be a trial of a study.

    Raises: NotFound for the data set; Invalid pointing at each impossible value; Unavailable when the project's
    queue is full.
    """
    audit.take_turn(session, principal.project_id)
    dataset = _ready_dataset(session, principal, request.dataset)
    order = _order(
        dataset,
        model=request.model or dataset.name,
        plan=plan(session, principal, dataset, request, settings),
        limits=limits(request, settings),
        priority=request.priority,
    )
    return submission.submit(session, principal, replace(order, study_id=study_id, trial=trial), settings)


def check(
    session: Session, principal: Principal, request: JobCreate, settings: Settings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan and limits that `submit` would store. Raises: as `submit`."""
    dataset = _ready_dataset(session, principal, request.dataset)
    return plan(session, principal, dataset, request, settings), limits(request, settings)


def retry(session: Session, principal: Principal, job_id: str, settings: Settings) -> JobRow:
    """Queue a new job with the plan of one that failed or was cancelled. Raises: NotFound, Conflict, Unavailable."""
    audit.take_turn(session, principal.project_id)
    old = get(session, principal, job_id)
    if old.status not in ("failed", "cancelled"):
        raise Conflict(f"Only a failed or cancelled job can be retried; this one is {old.status}.")
    if old.kind == "ingest":
        raise Conflict("Only training jobs can be retried; send the data again.")
    order = _order(
        datasets.get(session, principal, old.dataset_id or ""),
        kind=old.kind,
        model=old.model,
        plan=old.plan,
        limits=old.limits,
        priority=old.priority,
        retry_of=old.id,
    )
    return submission.submit(session, principal, order, settings)


def reproduce(session: Session, principal: Principal, job_id: str, settings: Settings) -> JobRow:
    """Queue a job that trains again what a job has trained, and compares the bits. It makes no model version.

    Raises: NotFound; Conflict when there is nothing to compare with; Unavailable.
    """
    audit.take_turn(session, principal.project_id)
    old = get(session, principal, job_id)
    if old.kind != "train" or old.status != "succeeded":
        what = f"this one is {old.status}" if old.kind == "train" else f"this one is of kind {old.kind}"
        raise Conflict(f"Only a training that succeeded can be reproduced; {what}.")
    dataset = _ready_dataset(session, principal, old.dataset_id or "")
    version = models.find_version_of(session, old.id)
    if version is None:
        raise Conflict("The model version that this job made was deleted: there is nothing to compare with.")
    again = plan_again(old, version)
    # Time must not end it sooner than it ended the training that is repeated.
    limits = old.limits | {"wall_seconds": settings.job_wall_seconds}
    order = _order(dataset, kind="reproduce", model=None, plan=again, limits=limits, priority=old.priority)
    return submission.submit(session, principal, replace(order, audited={"reproduces": old.id}), settings)


def _order(
    dataset: DatasetRow,
    *,
    model: str | None,
    plan: dict[str, Any],
    limits: dict[str, Any],
    priority: int,
    kind: str = "train",
    retry_of: str | None = None,
) -> submission.Order:
    digests = {"dataset": dataset.sha256, "table": dataset.parquet_sha256}
    return submission.Order(
        kind, dataset.id, plan, digests, limits, model, priority, retry_of, audited={"model": model}
    )


def find_spec(session: Session, principal: Principal, reference: str) -> Spec:
    """The spec that a request names: built in, installed, or declared by the project.

    Raises: NotFound, LearningError.
    """
    declaration = specs.find_declaration(session, principal, reference)
    name = reference.partition("@")[0]
    return learned_specs.get(reference) if declaration is None else make_spec(name, declaration)


def plan(
    session: Session, principal: Principal, dataset: DatasetRow, request: JobCreate, settings: Settings
) -> dict[str, Any]:
    """The resolved request: every default filled in, every value checked, a declared spec pinned. Raises: Invalid."""
    spec = request.spec_or_default
    declaration = specs.find_declaration(session, principal, spec)
    try:
        return make_plan(
            dataset.columns,
            request.target,
            spec=spec if declaration is None else spec.partition("@")[0],
            declaration=declaration,
            params=request.params,
            preparation=request.preparation,
            split=request.split,
            task=request.task,
            seed=request.seed,
            num_rows=dataset.num_rows,
            extra_columns=dataset.origin.get("extra_columns"),
            max_parameters=settings.max_parameters,
        )
    except LearningError as error:
        code = "limits-exceeded" if error.code == "limits-exceeded" else None
        raise Invalid(error.message, code=code, errors=[dict(e) for e in error.errors]) from None


def limits(request: JobCreate | EvaluationCreate | PredictionCreate, settings: Settings) -> dict[str, Any]:
    """The limits of a job, defaults filled in. Raises: Invalid when they are above the settings'."""
    return _within_settings(request.limits.model_dump(exclude_none=True), settings)


def _within_settings(asked: dict[str, Any], settings: Settings) -> dict[str, Any]:
    highest = {"wall_seconds": settings.job_wall_seconds, "memory_bytes": settings.job_memory_bytes}
    errors = [
        {"pointer": f"/limits/{name}", "detail": f"At most {highest[name]} here."}
        for name, value in asked.items()
        if value > highest[name]
    ]
    if errors:
        raise Invalid("A job may not use that much.", code="limits-exceeded", errors=errors)
    return highest | asked


def get(session: Session, principal: Principal, job_id: str) -> JobRow:
    """A job of the caller's project. Raises: NotFound."""
    row = session.get(JobRow, job_id)
    if row is None or row.project_id != principal.project_id:
        raise NotFound("job", job_id)
    return row


def list_page(
    session: Session,
    principal: Principal,
    *,
    limit: int,
    after: str | None,
    status: str | None,
    model: str | None,
    study: str | None = None,
) -> Sequence[JobRow]:
    """Jobs of the project, newest first, one more than `limit` if there are more."""
    query = select(JobRow).where(JobRow.project_id == principal.project_id, JobRow.kind != queue.BESIDE)
    if after is not None:
        query = query.where(JobRow.id < after)
    if status is not None:
        query = query.where(JobRow.status == status)
    if model is not None:
        query = query.where(JobRow.model == model)
    if study is not None:
        query = query.where(JobRow.study_id == study)
    return session.scalars(query.order_by(JobRow.id.desc()).limit(limit + 1)).all()


def list_checkpoints(session: Session, principal: Principal, job_id: str) -> Sequence[CheckpointRow]:
    """The stored checkpoints of a job, newest first. Raises: NotFound."""
    job = get(session, principal, job_id)
    return journal.list_checkpoints(session, job.id)


def change(
    session: Session,
    principal: Principal,
    job_id: str,
    patch: JobPatch,
    settings: Settings,
    *,
    is_current: Callable[[JobRow], bool],
) -> JobRow:
    """Give a job that has not ended another priority or time limit; its worker tells the process that runs.

    Raises: NotFound; Conflict when it has ended or has no such limit; PreconditionFailed unless `is_current`; Invalid.
    """
    audit.take_turn(session, principal.project_id)
    job = get(session, principal, job_id)
    asked = patch.model_dump(exclude_unset=True)
    limits = asked.get("limits") or {}
    _within_settings(limits, settings)
    if not is_current(job):
        raise PreconditionFailed("The job has changed since you read it; read it again.")
    if limits and job.kind == "ingest":
        raise Conflict("The time that reading a table may take follows from its size.")
    changes = {**asked, "limits": job.limits | limits}
    if job.status in queue.TERMINAL or any(getattr(job, name) != value for name, value in changes.items()):
        _write(session, job, **changes)
        told = [f"priority {asked['priority']}"] if "priority" in asked else []
        told += [f"at most {limits['wall_seconds']:g} seconds"] if limits else []
        journal.append(session, job.id, [journal.event("change", f"Changed: {', '.join(told)}.", **asked)])
        audit.record(session, principal, "job.change", job.id, **asked)
        session.refresh(job)
    return job


def _write(session: Session, job: JobRow, **changes: Any) -> None:
    # Its end may be written at this very moment: the row itself must say that it has not come yet.
    unfinished = (JobRow.id == job.id, JobRow.status.not_in(queue.TERMINAL))
    statement = update(JobRow).where(*unfinished).values(**changes, revision=JobRow.revision + 1).returning(JobRow.id)
    if session.scalars(statement.execution_options(synchronize_session=False)).first() is None:
        raise Conflict("The job has ended; nothing about it changes any more.")


ACTIONS = {"cancel": queue.cancel, "pause": queue.pause, "resume": queue.resume, "finish": queue.finish}


def act(session: Session, principal: Principal, job_id: str, action: str) -> JobRow:
    """Cancel, pause, resume or finish a job. Raises: NotFound, Conflict."""
    job = get(session, principal, job_id)
    if action == "finish" and job.kind != "train":
        raise Conflict("Only a training job can be finished early.")
    if action in ("pause", "resume") and job.study_id is not None:
        raise Conflict(f"This job is a trial, which its study steers: {action} {job.study_id}.")
    ACTIONS[action](session, job)
    audit.record(session, principal, f"job.{action}", job.id)
    return job


def _ready_dataset(session: Session, principal: Principal, dataset_id: str) -> DatasetRow:
    dataset = datasets.get(session, principal, dataset_id)
    if dataset.status != "ready":
        raise Conflict(f"The data set is {dataset.status}; jobs need a ready one.")
    return dataset
