"""Shadows of aliases: which version answers beside, and what was found of its answers."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app import audit
from app.errors import NotFound
from app.ids import new_id
from app.principal import Principal
from app.tables import ModelRow, ShadowRow
from app.traffic import service
from app.traffic.service import Target


def get(session: Session, model: ModelRow, alias: str) -> ShadowRow:
    """The shadow of an alias. Raises: NotFound."""
    row = session.get(ShadowRow, (model.id, alias))
    if row is None:
        raise NotFound("shadow of alias", f"{model.name}@{alias}")
    return row


def put(
    session: Session, principal: Principal, model: ModelRow, alias: str, *, version: int, share: float
) -> ShadowRow:
    """Put a version into the shadow of an alias; its figures begin anew. Raises: NotFound; Invalid."""
    audit.take_turn(session, principal.project_id)
    service.get_alias(session, model, alias)
    service.check_target(session, model, alias, Target(version))
    old = session.get(ShadowRow, (model.id, alias))
    if old is not None:
        session.delete(old)
        session.flush()
    row = ShadowRow(id=new_id("shadow"), model_id=model.id, alias=alias, version=version, share=share, tally={})
    session.add(row)
    session.flush()
    audit.record(session, principal, "shadow.set", f"{model.name}@{alias}", version=version, share=share)
    return row


def delete(session: Session, principal: Principal, model: ModelRow, alias: str) -> None:
    """Take the shadow away, with its figures. Raises: NotFound."""
    audit.take_turn(session, principal.project_id)
    session.delete(get(session, model, alias))
    session.flush()
    audit.record(session, principal, "shadow.delete", f"{model.name}@{alias}")
