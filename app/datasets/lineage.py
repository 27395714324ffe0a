"""What was made from a data set and what it was made from; and deleting it, alone or with what it led to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import audit
from app.datasets import service
from app.errors import Conflict, Forbidden
from app.jobs import queue
from app.models import service as models
from app.principal import Principal
from app.tables import CheckpointRow, DatasetRow, JobRow, ModelRow, ModelVersionRow, RejectedRow, StudyRow

MAX_LISTED = 100


@dataclass(frozen=True)
class Uses:
    """What rests on a data set: jobs that learned from it, studies, models they made, versions made from it."""

    jobs: Sequence[JobRow]
    studies: Sequence[StudyRow]
    versions: Sequence[tuple[str, ModelVersionRow]]
    children: Sequence[DatasetRow]


def uses(session: Session, row: DatasetRow) -> Uses:
    """What rests on this version."""
    jobs = select(JobRow).where(JobRow.dataset_id == row.id, JobRow.kind != "ingest").order_by(JobRow.id)
    versions = (
        select(ModelRow.name, ModelVersionRow)
        .join(ModelVersionRow, ModelVersionRow.model_id == ModelRow.id)
        .where(ModelVersionRow.dataset_id == row.id)
        .order_by(ModelRow.name, ModelVersionRow.version)
    )
    children = select(DatasetRow).where(DatasetRow.parent_id == row.id).order_by(DatasetRow.id)
    studies = select(StudyRow).where(StudyRow.dataset_id == row.id).order_by(StudyRow.id)
    return Uses(
        session.scalars(jobs).all(),
        session.scalars(studies).all(),
        [(name, version) for name, version in session.execute(versions)],
        session.scalars(children).all(),
    )


def references(session: Session, row: DatasetRow) -> list[str]:
    """The model versions that were learned from this version, as predictions name them."""
    return [f"{name}@{version.version}" for name, version in uses(session, row).versions]


def ancestors(session: Session, row: DatasetRow) -> list[DatasetRow]:
    """The versions that this one was made from, nearest first; the line ends where one was deleted."""
    line: list[DatasetRow] = []
    parent_id = row.parent_id
    while parent_id is not None:
        parent = session.get(DatasetRow, parent_id)
        if parent is None:
            break
        line.append(parent)
        parent_id = parent.parent_id
    return line


def descendants(session: Session, row: DatasetRow) -> list[DatasetRow]:
    """All versions that were made from this one, however indirectly, oldest first."""
    found: dict[str, DatasetRow] = {}
    wanted = [row.id]
    while wanted:
        children = session.scalars(select(DatasetRow).where(DatasetRow.parent_id.in_(wanted))).all()
        wanted = [child.id for child in children if child.id not in found]
        found |= {child.id: child for child in children}
    return sorted(found.values(), key=lambda each: each.id)


def delete(session: Session, principal: Principal, dataset_id: str, *, cascade: bool) -> set[str]:
    """Remove a data set, with `cascade` also the jobs and models made from it; returns the digests it named.

    Raises: NotFound; Conflict naming what rests on it; Forbidden when the key may not delete models.
    """
    audit.take_turn(session, principal.project_id)
    row = service.get(session, principal, dataset_id)
    using = uses(session, row)
    _refuse_busy(session, row, using)
    if (using.jobs or using.studies or using.versions) and not cascade:
        raise _in_use(using)
    if using.versions and not principal.may("models:write"):
        raise Forbidden("Models were made from this data set; deleting them needs the scope 'models:write'.")
    digests = {row.sha256, row.parquet_sha256}
    for name, version in using.versions:
        digests |= {version.weights_sha256, version.graph_sha256, version.evaluation_sha256 or service.UNREAD}
        models.withdraw(session, principal, name, version)
    digests |= _delete_jobs(session, row)
    session.delete(row)
    session.flush()
    deleted = [f"{name}@{version.version}" for name, version in using.versions]
    audit.record(session, principal, "dataset.delete", row.id, sha256=row.sha256, models=deleted)
    return digests - {service.UNREAD}


def _refuse_busy(session: Session, row: DatasetRow, using: Uses) -> None:
    job = service.ingest_job(session, row)
    if row.status == "processing" and job is not None:
        raise Conflict(f"The data set is being read by {job.id}; cancel that job first.", code="in-use")
    if any(child.status == "processing" for child in using.children):
        raise Conflict("A new version is being made from this one; wait for it.", code="in-use")
    active = [each.id for each in using.jobs if each.status not in queue.TERMINAL]
    active += [each.id for each in using.studies if each.status not in queue.TERMINAL]
    if active:
        raise Conflict(f"{active[0]} is using the data set; cancel it first.", code="in-use")


def _in_use(using: Uses) -> Conflict:
    references = [f"{name}@{version.version}" for name, version in using.versions]
    errors = [{"pointer": f"/models/{reference}", "detail": "was learned from it"} for reference in references]
    errors += [{"pointer": f"/jobs/{job.id}", "detail": f"{job.status}; has it in its record"} for job in using.jobs]
    errors += [
        {"pointer": f"/studies/{each.id}", "detail": f"{each.status}; has it in its record"} for each in using.studies
    ]
    users = [*(job.id for job in using.jobs), *(study.id for study in using.studies)]
    listed = ", ".join([*references, *users][:5])
    return Conflict(
        f"The data set is part of the record of {listed}; ?cascade=true deletes them, too.",
        code="in-use",
        errors=errors[:MAX_LISTED],
    )


def _delete_jobs(session: Session, row: DatasetRow) -> set[str]:
    """Remove the ended jobs and studies of a data set with all they left behind; returns the digests of its bytes."""
    ids = select(JobRow.id).where(JobRow.dataset_id == row.id)
    digests = set(session.scalars(select(CheckpointRow.sha256).where(CheckpointRow.job_id.in_(ids))))
    evaluations = select(JobRow.evaluation_sha256).where(JobRow.dataset_id == row.id)
    digests |= {sha256 for sha256 in session.scalars(evaluations) if sha256 is not None}
    digests |= set(session.scalars(select(RejectedRow.sha256).where(RejectedRow.job_id.in_(ids))))
    session.execute(sql_delete(JobRow).where(JobRow.dataset_id == row.id))
    session.execute(sql_delete(StudyRow).where(StudyRow.dataset_id == row.id))
    return digests
