"""Which stored bytes the database names: these stay, all others may go; and which rows are older than they are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.column_types import now
from app.prediction_tables import LoggedRow, LogRuleRow
from app.tables import (
    CheckpointRow,
    DatasetRow,
    JobRow,
    ModelVersionRow,
    PredictionBlockRow,
    RejectedRow,
    SnapshotRow,
    StudyRow,
)

# The bytes of a data set that could not be read serve nobody.
READABLE = DatasetRow.status != "failed"
NAMES: tuple[tuple[InstrumentedAttribute[Any], ColumnElement[bool]], ...] = (
    (DatasetRow.sha256, READABLE),
    (DatasetRow.parquet_sha256, READABLE),
    (CheckpointRow.sha256, true()),
    (SnapshotRow.graph_sha256, true()),
    (ModelVersionRow.weights_sha256, true()),
    (ModelVersionRow.graph_sha256, true()),
    (ModelVersionRow.evaluation_sha256, ModelVersionRow.evaluation_sha256.is_not(None)),
    (JobRow.evaluation_sha256, JobRow.evaluation_sha256.is_not(None)),
    (PredictionBlockRow.sha256, true()),
    (PredictionBlockRow.rejected_sha256, PredictionBlockRow.rejected_sha256.is_not(None)),
    (RejectedRow.sha256, true()),
)


def referenced(session: Session) -> set[str]:
    """The digests of all blobs that a row names."""
    named = {digest for column, condition in NAMES for digest in session.scalars(select(column).where(condition))}
    return named | _awaited(session) | _kept(session)


def is_referenced(session: Session, sha256: str) -> bool:
    """Whether some row names this blob."""
    queries = (select(column).where(column == sha256, condition).limit(1) for column, condition in NAMES)
    return any(session.scalars(query).first() is not None for query in queries) or sha256 in (
        _awaited(session) | _kept(session)
    )


def forget_old_predictions(session: Session) -> None:
    """Remove logged rows that are older than their model keeps them."""
    for rule in session.scalars(select(LogRuleRow)):
        oldest_kept = now() - timedelta(days=rule.keep_days)
        session.execute(
            delete(LoggedRow).where(LoggedRow.model_id == rule.model_id, LoggedRow.created_at < oldest_kept)
        )


def _awaited(session: Session) -> set[str]:
    """The inputs of ingest jobs that have not ended, such as rows that are still to be appended."""
    plans = select(JobRow.plan).where(JobRow.kind == "ingest", JobRow.status.in_(("queued", "running", "paused")))
    return {sha256 for plan in session.scalars(plans) for sha256 in plan.get("inputs", {}).values()}


def _kept(session: Session) -> set[str]:
    """What trials made, while their study may still choose them."""
    kept = (
        select(JobRow.result)
        .join(StudyRow, StudyRow.id == JobRow.study_id)
        .where(JobRow.result.is_not(None), StudyRow.status.in_(("running", "paused")))
    )
    return {file["sha256"] for made in session.scalars(kept) if made for file in made["files"].values()}
