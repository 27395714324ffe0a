"""The part of the schema that batch predictions need: finished blocks, and rows that could not be answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.base_table import Table
from app.column_types import Digest, now


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
