"""Data sets: registered after their bytes were read, listed, looked into, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import audit
from app.errors import Conflict, NotFound
from app.ids import new_id
from app.principal import Principal
from app.storage import Blob
from app.tables import DatasetRow, JobRow, ModelVersionRow, now


@dataclass(frozen=True)
class Upload:
    """A table whose bytes are stored already, both as sent and as typed Parquet."""

    name: str
    format: str
    source: dict[str, Any]
    sent: Blob
    parquet: Blob
    num_rows: int
    columns: list[dict[str, Any]]
    profile: dict[str, Any]


def register(session: Session, principal: Principal, upload: Upload) -> DatasetRow:
    """The data set of an upload: a new version when its name is known."""
    audit.take_turn(session, principal.project_id)
    newest = session.scalars(
        select(func.max(DatasetRow.version)).where(
            DatasetRow.project_id == principal.project_id, DatasetRow.name == upload.name
        )
    ).one()
    row = DatasetRow(
        id=new_id("ds"),
        project_id=principal.project_id,
        name=upload.name,
        version=(newest or 0) + 1,
        status="ready",
        format=upload.format,
        source=upload.source,
        sha256=upload.sent.sha256,
        size_bytes=upload.sent.size_bytes,
        parquet_sha256=upload.parquet.sha256,
        parquet_size_bytes=upload.parquet.size_bytes,
        num_rows=upload.num_rows,
        columns=upload.columns,
        profile=upload.profile,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    audit.record(session, principal, "dataset.create", row.id, name=row.name, sha256=row.sha256)
    return row


def get(session: Session, principal: Principal, dataset_id: str) -> DatasetRow:
    """A data set of the caller's project. Raises: NotFound."""
    row = session.get(DatasetRow, dataset_id)
    if row is None or row.project_id != principal.project_id:
        raise NotFound("data set", dataset_id)
    return row


def get_by_id(session: Session, dataset_id: str) -> DatasetRow:
    """The data set of a job that was admitted already. Raises: NotFound."""
    row = session.get(DatasetRow, dataset_id)
    if row is None:
        raise NotFound("data set", dataset_id)
    return row


def list_page(
    session: Session, principal: Principal, *, limit: int, after: str | None, name: str | None
) -> Sequence[DatasetRow]:
    """Data sets of the project, newest first, one more than `limit` if there are more."""
    query = select(DatasetRow).where(DatasetRow.project_id == principal.project_id)
    if after is not None:
        query = query.where(DatasetRow.id < after)
    if name is not None:
        query = query.where(DatasetRow.name == name)
    return session.scalars(query.order_by(DatasetRow.id.desc()).limit(limit + 1)).all()


def delete(session: Session, principal: Principal, dataset_id: str) -> None:
    """Remove a data set; its bytes go when nothing else names them.

    Raises: NotFound; Conflict naming what still uses it.
    """
    audit.take_turn(session, principal.project_id)
    row = get(session, principal, dataset_id)
    jobs = session.scalars(select(JobRow.id).where(JobRow.dataset_id == row.id).limit(5)).all()
    versions = session.scalars(
        select(ModelVersionRow.job_id).where(ModelVersionRow.dataset_id == row.id).limit(5)
    ).all()
    if jobs or versions:
        raise Conflict(f"The data set is part of the record of {', '.join(jobs)}; it cannot be deleted.", code="in-use")
    session.delete(row)
    session.flush()
    audit.record(session, principal, "dataset.delete", row.id, sha256=row.sha256)
