"""The prediction log: its rules, its rows, and what feedback says about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.database import Sessions
from app.errors import Invalid
from app.prediction_tables import LoggedRow, LogRuleRow
from app.predictions.comparing import judge
from app.predictions.log_schemas import Feedback, FeedbackCreate, LogRule, QualityRead
from app.principal import Principal
from app.tables import ModelRow


@dataclass(frozen=True)
class Rule:
    """How one model is logged."""

    sample: float
    leave_out: frozenset[str]


def set_rule(session: Session, principal: Principal, model: ModelRow, asked: LogRule) -> LogRuleRow:
    """Log a model by this rule from now on; what is logged already stays."""
    audit.take_turn(session, principal.project_id)
    row = session.get(LogRuleRow, model.id) or LogRuleRow(model_id=model.id)
    for name, value in asked.model_dump().items():
        setattr(row, name, value)
    row.updated_at = now()
    session.add(row)
    session.flush()
    audit.record(session, principal, "model.log", model.name, enabled=row.enabled, sample=row.sample)
    return row


def find_rule(session: Session, model_id: str) -> LogRuleRow | None:
    """The rule of a model, if it was ever given one."""
    return session.get(LogRuleRow, model_id)


def rules(session: Session) -> dict[str, Rule]:
    """The rules of all models that are logged, by their ids."""
    query = select(LogRuleRow).where(LogRuleRow.enabled)
    return {row.model_id: Rule(row.sample, frozenset(row.leave_out)) for row in session.scalars(query)}


def write(sessions: Sessions, rows: Mapping[str, Sequence[dict[str, Any]]]) -> int:
    """Store rows by the ids of their models; answers how many there was a model for. Raises: SQLAlchemyError."""
    try:
        with sessions.begin() as session:
            session.execute(insert(LoggedRow), [row for listed in rows.values() for row in listed])
    except IntegrityError:
        if len(rows) == 1:
            return 0
        # A model was deleted meanwhile, and its log with it; the others have theirs.
        return sum(write(sessions, {model_id: listed}) for model_id, listed in rows.items())
    return sum(map(len, rows.values()))


def num_rows(session: Session, model: ModelRow) -> int:
    """How many rows of a model are logged."""
    return session.scalars(select(func.count()).where(LoggedRow.model_id == model.id)).one()


def list_rows(
    session: Session, model_id: str, *, limit: int, after: str | None, version: int | None
) -> Sequence[LoggedRow]:
    """Logged rows of a model, newest first, one more than `limit` if there are more."""
    query = select(LoggedRow).where(LoggedRow.model_id == model_id)
    if after is not None:
        query = query.where(LoggedRow.id < after)
    if version is not None:
        query = query.where(LoggedRow.version == version)
    return session.scalars(query.order_by(LoggedRow.id.desc()).limit(limit + 1)).all()


def erase(session: Session, principal: Principal, model: ModelRow) -> None:
    """Remove all logged rows of a model; its rule stays."""
    audit.take_turn(session, principal.project_id)
    session.execute(delete(LoggedRow).where(LoggedRow.model_id == model.id))
    audit.record(session, principal, "model.erase_log", model.name)


def attach(session: Session, model: ModelRow, asked: FeedbackCreate) -> list[Feedback]:
    """Attach the truth to logged rows; answers of which nothing is logged.

    Raises: Invalid pointing at a truth that is no number where the answer is one.
    """
    wanted = {each.request for each in asked.data}
    query = select(LoggedRow).where(LoggedRow.model_id == model.id, LoggedRow.request_id.in_(wanted))
    # Of requests that were given the same id, the newest is meant.
    found = {(row.request_id, row.row): row for row in session.scalars(query.order_by(LoggedRow.id))}
    unknown = []
    for index, each in enumerate(asked.data):
        row = found.get((each.request, each.row))
        if row is None:
            unknown.append(each)
        else:
            _attach_one(row, each.truth, index)
    session.flush()
    return unknown


def quality(session: Session, model: ModelRow) -> list[QualityRead]:
    """How good each version was on the rows whose truth is known, newest version first."""
    figures = (
        LoggedRow.version,
        func.count(),
        func.count(LoggedRow.correct) + func.count(LoggedRow.squared_error),
        func.avg(LoggedRow.correct),
        func.avg(LoggedRow.squared_error),
    )
    query = select(*figures).where(LoggedRow.model_id == model.id).group_by(LoggedRow.version)
    return [
        QualityRead(
            version=version,
            num_rows=num,
            num_truths=num_truths,
            accuracy=None if right is None else float(right),
            rmse=None if squared is None else math.sqrt(squared),
        )
        for version, num, num_truths, right, squared in session.execute(query.order_by(LoggedRow.version.desc()))
    ]


def _attach_one(row: LoggedRow, truth: str | int | float | bool, index: int) -> None:
    if "value" in row.output and isinstance(truth, bool | str):
        detail = "The answer was a number, so its truth is one."
        raise Invalid(detail, errors=[{"pointer": f"/data/{index}/truth", "detail": detail}])
    row.correct, row.squared_error = judge(row.output, truth)
    row.truth = truth
