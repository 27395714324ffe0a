"""The tables of studies: a study, its trials, what these reported, and what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Double, ForeignKey, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base_table import Table
from app.column_types import Id, Name, now


class StudyRow(Table):
    """A search for good parameters; `plan` is the request with every default filled in, and never changes."""

    __tablename__ = "studies"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'paused', 'succeeded', 'failed', 'cancelled')", name="status"),
        Index(None, "project_id", "id"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    status: Mapped[str] = mapped_column(String(16), index=True)
    control: Mapped[str | None] = mapped_column(String(16))
    is_external: Mapped[bool]
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    model: Mapped[str | None] = mapped_column(Name)
    model_version: Mapped[int | None]
    plan: Mapped[dict[str, Any]]
    num_started: Mapped[int] = mapped_column(default=0)
    best_trial: Mapped[int | None]
    error: Mapped[dict[str, Any] | None]
    num_events: Mapped[int] = mapped_column(default=0)
    revision: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    ends_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TrialRow(Table):
    """One combination of parameters that is or was tried; `pruned_step` is where it was found hopeless."""

    __tablename__ = "trials"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'completed', 'pruned', 'failed')", name="state"),
        Index(None, "study_id", "state"),
    )
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    params: Mapped[dict[str, Any]]
    value: Mapped[float | None] = mapped_column(Double)
    error: Mapped[dict[str, Any] | None]
    pruned_step: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TrialReportRow(Table):
    """What a trial had come to at a step: the validation loss of an epoch, or what a client told."""

    __tablename__ = "trial_reports"
    __table_args__ = (
        ForeignKeyConstraint(["study_id", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE"),
        Index(None, "study_id", "step"),
    )
    study_id: Mapped[str] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(Double)


class StudyEventRow(Table):
    """What happened to a study: append-only, numbered 1, 2, 3 … without gaps."""

    __tablename__ = "study_events"
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(16), default="info")
    message: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
