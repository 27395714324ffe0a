"""The log of a model's predictions: its rule, its rows, feedback, and how good the answers turned out to be."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from sqlalchemy.orm import Session

from app.models import service as models
from app.models.reference import NAME
from app.prediction_tables import LoggedRow, LogRuleRow
from app.predictions import log_service
from app.predictions.log_schemas import (
    FeedbackCreate,
    FeedbackRead,
    LoggedRead,
    LogRule,
    LogRuleRead,
    QualitiesRead,
)
from app.tables import ModelRow
from app.web.paging import Page, Paging, id_after, page
from app.web.routing import Caller, InSession, allow, router

routes = router("predictions")
ModelName = Annotated[str, Path(pattern=rf"^{NAME}$", description="Name of a model.")]


@routes.put("/v1/models/{name}/log")
@allow("models:write")
def put_model_log(name: ModelName, body: LogRule, caller: Caller, session: InSession) -> LogRuleRead:
    """Log answers of a model from now on, or no longer; every API process obeys within a second."""
    model = models.get(session, caller, name)
    return _show_rule(session, model, log_service.set_rule(session, caller, model, body))


@routes.get("/v1/models/{name}/log/rule")
@allow("read", bound_keys=True)
def get_model_log_rule(name: ModelName, caller: Caller, session: InSession) -> LogRuleRead:
    """Whether answers of a model are logged, and how many are in the log."""
    model = models.get(session, caller, name)
    return _show_rule(session, model, log_service.find_rule(session, model.id))


@routes.get("/v1/models/{name}/log")
@allow("read", bound_keys=True)
def list_model_log(
    name: ModelName,
    caller: Caller,
    session: InSession,
    cursor: Paging,
    version: Annotated[int | None, Query(ge=1, le=10**9, description="Only answers of this version.")] = None,
) -> Page[LoggedRead]:
    """The logged rows of a model with their answers, newest first."""
    model = models.get(session, caller, name)
    after = id_after(cursor, r"log_[0-9a-f]{32}")
    rows = log_service.list_rows(session, model.id, limit=cursor.limit, after=after, version=version)
    return page([_show(row) for row in rows], cursor)


@routes.delete("/v1/models/{name}/log", status_code=204)
@allow("models:write")
def delete_model_log(name: ModelName, caller: Caller, session: InSession) -> None:
    """Remove all logged rows of a model; its rule stays."""
    log_service.erase(session, caller, models.get(session, caller, name))


@routes.post("/v1/models/{name}/feedback")
@allow("predict", bound_keys=True)
def give_feedback(name: ModelName, body: FeedbackCreate, caller: Caller, session: InSession) -> FeedbackRead:
    """Say what turned out to be true of logged predictions."""
    unknown = log_service.attach(session, models.get(session, caller, name), body)
    return FeedbackRead(num_attached=len(body.data) - len(unknown), unknown=unknown)


@routes.get("/v1/models/{name}/feedback")
@allow("read", bound_keys=True)
def get_live_quality(name: ModelName, caller: Caller, session: InSession) -> QualitiesRead:
    """How good the answers of each version turned out to be, by the feedback on logged rows."""
    return QualitiesRead(model=name, data=log_service.quality(session, models.get(session, caller, name)))


def _show_rule(session: Session, model: ModelRow, row: LogRuleRow | None) -> LogRuleRead:
    rule = LogRule(enabled=False) if row is None else LogRule.model_validate(row, from_attributes=True)
    updated_at = row.updated_at if row is not None else None
    counted = log_service.num_rows(session, model)
    return LogRuleRead(model=model.name, num_rows=counted, updated_at=updated_at, **rule.model_dump())


def _show(row: LoggedRow) -> LoggedRead:
    names = ("id", "row", "version", "inputs", "output", "truth", "created_at")
    return LoggedRead(request=row.request_id, **{name: getattr(row, name) for name in names})
