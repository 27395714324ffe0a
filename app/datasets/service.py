"""Data sets: versions registered after they were read or accepted to be read, listed, traced, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.datasets.making import Table
from app.durable import Blob
from app.errors import Conflict, NotFound
from app.ids import new_id
from app.jobs import submission
from app.principal import Principal
from app.settings import Settings
from app.tables import DatasetRow, JobRow

UNREAD = ""


@dataclass(frozen=True)
class Draft:
    """A version that is going to be made: its name, where it comes from, and how its table is made.

    `order` and `inputs` (digests by the names the order uses) are for `making.make`; `origin` is what people see
    of them, with the policies that they set. `sent` are the bytes as a client sent them; a version made from others has
    none.
    """

    name: str
    origin: dict[str, Any]
    order: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    sent: Blob | None = None
    format: str = "parquet"
    source: dict[str, Any] = field(default_factory=dict)
    parent_id: str | None = None

    @property
    def is_upload(self) -> bool:
        """Whether a client sent the whole table."""
        return bool(self.origin["operation"] == "upload")


def register(session: Session, principal: Principal, draft: Draft, table: Table) -> DatasetRow:
    """The version of a draft whose table is made: ready at once."""
    row = _insert(session, principal, draft)
    _fill(row, table)
    session.flush()
    audit.record(session, principal, "dataset.create", row.id, name=row.name, sha256=row.sha256)
    return row


def accept(session: Session, principal: Principal, draft: Draft, settings: Settings) -> DatasetRow:
    """The version of a draft, and the job that makes its table; `processing` until then.

    Raises: Unavailable when the project's queue is full.
    """
    row = _insert(session, principal, draft)
    session.flush()
    plan = {"order": draft.order, "inputs": draft.inputs}
    order = submission.Order(
        "ingest", row.id, plan, {"dataset": row.sha256}, {"memory_bytes": settings.ingest_memory_bytes}
    )
    submission.submit(session, principal, order, settings)
    audit.record(session, principal, "dataset.accept", row.id, name=row.name, sha256=row.sha256)
    return row


def complete(session: Session, dataset_id: str, table: Table) -> None:
    """Show the table that a job made. Raises: NotFound."""
    row = get_by_id(session, dataset_id)
    _fill(row, table)
    session.flush()


def _insert(session: Session, principal: Principal, draft: Draft) -> DatasetRow:
    audit.take_turn(session, principal.project_id)
    newest = session.scalars(
        select(func.max(DatasetRow.version)).where(
            DatasetRow.project_id == principal.project_id, DatasetRow.name == draft.name
        )
    ).one()
    row = DatasetRow(
        id=new_id("ds"),
        project_id=principal.project_id,
        name=draft.name,
        version=(newest or 0) + 1,
        status="processing",
        format=draft.format,
        source=draft.source,
        origin=draft.origin,
        parent_id=draft.parent_id,
        sha256=draft.sent.sha256 if draft.sent else UNREAD,
        size_bytes=draft.sent.size_bytes if draft.sent else 0,
        parquet_sha256=UNREAD,
        parquet_size_bytes=0,
        blocks=[],
        num_rows=0,
        columns=[],
        profile={},
        created_at=now(),
    )
    session.add(row)
    return row


def _fill(row: DatasetRow, table: Table) -> None:
    row.status = "ready"
    details = dict(table.details)
    # Only who opened a compressed file knows what is in it.
    row.format = details.pop("format", row.format)
    row.source = row.source | details
    row.parquet_sha256, row.parquet_size_bytes = table.parquet.sha256, table.parquet.size_bytes
    if row.sha256 == UNREAD:
        # Nobody sent this version, so its table is all there is to download.
        row.sha256, row.size_bytes = table.parquet.sha256, table.parquet.size_bytes
    row.blocks = table.blocks
    row.num_rows = table.num_rows
    row.columns = with_policies(table.columns, row.origin.get("policies", {}))
    row.profile = table.profile


def with_policies(
    columns: Sequence[dict[str, Any]], overrides: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """The columns under the policies that people set, where these mean something for the column's type."""
    changed = []
    for column in columns:
        words = overrides.get(column["name"], {})
        policies = column["policies"] | {key: word for key, word in words.items() if key in column["policies"]}
        changed.append({**column, "policies": policies})
    return changed


def get(session: Session, principal: Principal, dataset_id: str) -> DatasetRow:
    """A data set of the caller's project. Raises: NotFound."""
    row = session.get(DatasetRow, dataset_id)
    if row is None or row.project_id != principal.project_id:
        raise NotFound("data set", dataset_id)
    return row


def get_ready(session: Session, principal: Principal, dataset_id: str) -> DatasetRow:
    """A data set of the caller's project that has a table. Raises: NotFound; Conflict while it has none."""
    row = get(session, principal, dataset_id)
    if row.status != "ready":
        raise Conflict(f"The data set is {row.status}; it has no table.", code="not-ready")
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


def ingest_job(session: Session, row: DatasetRow) -> JobRow | None:
    """The job that makes or made this version, if it was not made at once."""
    query = select(JobRow).where(JobRow.dataset_id == row.id, JobRow.kind == "ingest")
    return session.scalars(query.limit(1)).first()
