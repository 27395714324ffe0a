"""The part of the schema that predictions need: blocks of batches, rows without an answer, the log of answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.base_table import Table
from app.column_types import Digest, Id, Json, now


class PredictionBlockRow(Table):
    """Answers to consecutive rows of a batch prediction that has not ended: where another attempt goes on.

    `rejected_sha256` lists the rows among them that could not be answered, as lines of JSON.
    """

    __tablename__ = "prediction_blocks"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    first_row: Mapped[int] = mapped_column(primary_key=True)
    num_rows: Mapped[int]
    num_rejected: Mapped[int]
    sha256: Mapped[str] = mapped_column(Digest, index=True)
    rejected_sha256: Mapped[str | None] = mapped_column(Digest, index=True)
    warnings: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class RejectedRow(Table):
    """Where the list of all rows lies that a batch prediction could not answer."""

    __tablename__ = "prediction_rejected"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(Digest, index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class LogRuleRow(Table):
    """Whether answers of a model are logged, how many of them, for how long, and without which columns."""

    __tablename__ = "log_rules"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    enabled: Mapped[bool]
    sample: Mapped[float]
    keep_days: Mapped[int]
    leave_out: Mapped[list[Any]]
    updated_at: Mapped[datetime] = mapped_column(default=now)


class LoggedRow(Table):
    """One answered row: what was asked, what was said, and the truth, once somebody knows it.

    `correct` is 1 or 0 of a label, `squared_error` of a value.
    """

    __tablename__ = "prediction_log"
    __table_args__ = (Index(None, "model_id", "id"), Index(None, "model_id", "request_id", "row"))
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    version: Mapped[int]
    request_id: Mapped[str] = mapped_column(String(256))
    row: Mapped[int]
    inputs: Mapped[dict[str, Any]]
    output: Mapped[dict[str, Any]]
    truth: Mapped[Any] = mapped_column(Json(), nullable=True)
    correct: Mapped[int | None]
    squared_error: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
