"""The whole database schema, one *Row class per table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.base_table import Table as Table
from app.column_types import Digest, Id, Name, now
from app.prediction_tables import PredictionBlockRow as PredictionBlockRow
from app.prediction_tables import RejectedRow as RejectedRow
from app.spec_tables import SpecRow as SpecRow
from app.spec_tables import SpecVersionRow as SpecVersionRow
from app.study_tables import StudyEventRow as StudyEventRow
from app.study_tables import StudyRow as StudyRow
from app.study_tables import TrialReportRow as TrialReportRow
from app.study_tables import TrialRow as TrialRow
from app.traffic_tables import AliasMoveRow as AliasMoveRow
from app.traffic_tables import AliasRow as AliasRow
from app.traffic_tables import GateRow as GateRow
from app.traffic_tables import ShadowRow as ShadowRow


class ProjectRow(Table):
    """The boundary of who sees what."""

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class KeyRow(Table):
    """An API key: found by its public id, compared by the digest of its secret."""

    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(Name)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    scopes: Mapped[list[Any]]
    model: Mapped[str | None] = mapped_column(Name)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class DatasetRow(Table):
    """A version of a table: its bytes as sent, its typed columns, its profile, what it was made from.

    Until its job has read it, it is `processing`: its table has no digest ("") and no columns yet.
    """

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("project_id", "name", "version"), Index(None, "project_id", "id"))
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(Name)
    version: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    format: Mapped[str] = mapped_column(String(16))
    source: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(Digest, index=True)
    size_bytes: Mapped[int]
    parquet_sha256: Mapped[str] = mapped_column(Digest, index=True)
    parquet_size_bytes: Mapped[int]
    num_rows: Mapped[int]
    columns: Mapped[list[Any]]
    profile: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None]
    origin: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    parent_id: Mapped[str | None] = mapped_column(Id, index=True)
    blocks: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class UploadRow(Table):
    """A resumable upload: `offset_bytes` of its bytes are durable and acknowledged."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    key_id: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(Name)
    filename: Mapped[str | None] = mapped_column(Text())
    content_type: Mapped[str | None] = mapped_column(Text())
    options: Mapped[dict[str, Any]]
    size_bytes: Mapped[int]
    offset_bytes: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(16), default="open")
    dataset_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class JobRow(Table):
    """One background piece of work; only jobs/queue.py changes its status; `result` is what it made, if no version."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')", name="status"),
        Index("ix_jobs_queue", "status", "priority", "id"),
        Index(None, "project_id", "id"),
        Index(None, "study_id", "trial", unique=True),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    phase: Mapped[str | None] = mapped_column(String(32))
    priority: Mapped[int] = mapped_column(default=0)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    model: Mapped[str | None] = mapped_column(Name)
    plan: Mapped[dict[str, Any]]
    digests: Mapped[dict[str, Any]]
    limits: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any] | None]
    evaluation_sha256: Mapped[str | None] = mapped_column(Digest, index=True)
    error: Mapped[dict[str, Any] | None]
    model_version: Mapped[int | None]
    result: Mapped[dict[str, Any] | None]
    retry_of: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    study_id: Mapped[str | None] = mapped_column(Id)
    trial: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(default=0)
    num_faults: Mapped[int] = mapped_column(default=0)
    lease_epoch: Mapped[int] = mapped_column(default=0)
    heartbeat_seq: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(Name)
    control: Mapped[str | None] = mapped_column(String(16))
    num_events: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    queued_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobEventRow(Table):
    """What happened to a job: append-only, numbered 1, 2, 3 … without gaps."""

    __tablename__ = "job_events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(16), default="info")
    message: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class JobMetricRow(Table):
    """A point of the curves of a job, which holds all that lies between it and the one before.

    `kind` says what the points of a curve stand for: steps, epochs, or samples of what the job uses. `position`
    orders them: the step, the epoch, or the milliseconds since the job started.
    """

    __tablename__ = "job_metrics"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int]
    epoch: Mapped[float]
    seconds: Mapped[float]
    values: Mapped[dict[str, Any]]
    low: Mapped[dict[str, Any]]
    high: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class SnapshotRow(Table):
    """The best weights so far of a running job, ready to answer predictions."""

    __tablename__ = "job_snapshots"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    lease_epoch: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[int]
    graph_sha256: Mapped[str] = mapped_column(Digest, index=True)
    size_bytes: Mapped[int]
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class JobLogRow(Table):
    """A piece of what a job's processes wrote, in order."""

    __tablename__ = "job_logs"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class CheckpointRow(Table):
    """A state from which a job can go on, bit for bit."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    lease_epoch: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[int]
    sha256: Mapped[str] = mapped_column(Digest, index=True)
    size_bytes: Mapped[int]
    state: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelRow(Table):
    """Trained weights under a name; `num_versions` only grows, so a number is never used twice."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("project_id", "name"), Index(None, "project_id", "id"))
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(Name)
    num_versions: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelVersionRow(Table):
    """One trained version: what it is made of, where it came from, how good it is."""

    __tablename__ = "model_versions"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    spec: Mapped[str] = mapped_column(Name)
    task: Mapped[str] = mapped_column(String(16))
    manifest: Mapped[dict[str, Any]]
    weights_sha256: Mapped[str] = mapped_column(Digest, index=True)
    graph_sha256: Mapped[str] = mapped_column(Digest, index=True)
    evaluation_sha256: Mapped[str | None] = mapped_column(Digest, index=True)
    digests: Mapped[dict[str, Any]]
    lineage: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    size_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)


class IdempotencyRow(Table):
    """The answer to a create, stored in the transaction that created the thing."""

    __tablename__ = "idempotency"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    operation: Mapped[str] = mapped_column(Name, primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Digest)
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class AuditRow(Table):
    """Who did what to which object, written in the transaction of the change; a chain of digests per project."""

    __tablename__ = "audit"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str | None] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(Name)
    outcome: Mapped[str] = mapped_column(String(16), server_default=text("'ok'"))
    request_id: Mapped[str | None] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]
    previous_sha256: Mapped[str] = mapped_column(Digest)
    sha256: Mapped[str] = mapped_column(Digest)
    created_at: Mapped[datetime] = mapped_column(default=now)
