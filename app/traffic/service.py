"""Aliases of models: moved, rolled back, deleted, with all that they pointed at before; gates that guard them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.errors import Conflict, Invalid, NotFound, PreconditionFailed
from app.models.reference import BEST
from app.principal import Principal
from app.tables import AliasMoveRow, AliasRow, GateRow, ModelRow, ModelVersionRow, ShadowRow
from app.traffic.schemas import GatesWrite


@dataclass(frozen=True)
class Target:
    """What an alias points at: one version, or several by weight and then `version` is that of the greatest."""

    version: int
    split: dict[str, float] | None = None

    @property
    def versions(self) -> dict[int, str]:
        """The versions, each with where a request names it."""
        if self.split is None:
            return {self.version: "/version"}
        return {int(version): f"/split/{version}" for version in self.split}


def find_alias(session: Session, model: ModelRow, alias: str) -> AliasRow | None:
    """One alias, if there is such."""
    return session.get(AliasRow, (model.id, alias))


def get_alias(session: Session, model: ModelRow, alias: str) -> AliasRow:
    """One alias. Raises: NotFound."""
    row = find_alias(session, model, alias)
    if row is None:
        raise NotFound("alias", f"{model.name}@{alias}")
    return row


def move(
    session: Session, principal: Principal, model: ModelRow, alias: str, target: Target, *,
    if_match: int | None = None, forced: bool = False,
) -> AliasRow:  # fmt: skip
    """Point an alias somewhere; `if_match` is the revision the client saw, 0 for none yet.

    Raises: Invalid when there is no such version; PreconditionFailed when somebody else moved the alias.
    """
    audit.take_turn(session, principal.project_id)
    check_target(session, model, alias, target)
    row = session.get(AliasRow, (model.id, alias), populate_existing=True)
    check_revision(row, if_match)
    if row is None:
        revision = _last_revision(session, model, alias) + 1
        row = AliasRow(model_id=model.id, alias=alias, version=target.version, revision=revision)
        session.add(row)
        back = None
    else:
        back, row.revision = row.revision, row.revision + 1
    _point(row, target)
    _record(session, principal, model, row, action="point", back=back, forced=forced)
    return row


def roll_back(
    session: Session, principal: Principal, model: ModelRow, alias: str, *, if_match: int | None = None
) -> AliasRow:
    """Point an alias at what it pointed at before; again, and it goes back further.

    Raises: NotFound; Conflict when there is nothing before; PreconditionFailed when somebody else moved the alias.
    """
    audit.take_turn(session, principal.project_id)
    get_alias(session, model, alias)
    row = session.get_one(AliasRow, (model.id, alias), populate_existing=True)
    check_revision(row, if_match)
    present = session.get_one(AliasMoveRow, (model.id, alias, row.revision))
    before = _find_usable(session, model, alias, present.back)
    if before is None or before.version is None:
        raise Conflict(f"{model.name}@{alias} has pointed at nothing before that still exists.", code="no-rollback")
    row.revision += 1
    _point(row, Target(before.version, before.split))
    _record(session, principal, model, row, action="rollback", back=before.back)
    return row


def delete_alias(session: Session, principal: Principal, model: ModelRow, alias: str) -> None:
    """Remove an alias and its shadow; its history stays. Raises: NotFound."""
    audit.take_turn(session, principal.project_id)
    row = get_alias(session, model, alias)
    revision = row.revision + 1
    session.execute(sql_delete(ShadowRow).where(ShadowRow.model_id == model.id, ShadowRow.alias == alias))
    session.delete(row)
    session.add(
        AliasMoveRow(model_id=model.id, alias=alias, revision=revision, action="delete", key_id=principal.key_id)
    )
    session.flush()
    audit.record(session, principal, "alias.delete", f"{model.name}@{alias}")


def history(
    session: Session, model: ModelRow, alias: str, *, limit: int, before: int | None = None
) -> Sequence[AliasMoveRow]:
    """The moves of an alias, newest first, one more than `limit` if there are more. Raises: NotFound."""
    query = select(AliasMoveRow).where(AliasMoveRow.model_id == model.id, AliasMoveRow.alias == alias)
    if before is not None:
        query = query.where(AliasMoveRow.revision < before)
    rows = session.scalars(query.order_by(AliasMoveRow.revision.desc()).limit(limit + 1)).all()
    if not rows and before is None:
        raise NotFound("alias", f"{model.name}@{alias}")
    return rows


def check_target(session: Session, model: ModelRow, alias: str, target: Target) -> None:
    """Raise Invalid unless an alias may have this name and point there."""
    if alias == BEST:
        detail = f"@{BEST} means the best weights so far of a running job, and its version later; choose another name."
        raise Invalid(detail, errors=[{"pointer": "path:alias", "detail": detail}])
    for version, pointer in target.versions.items():
        if session.get(ModelVersionRow, (model.id, version)) is None:
            detail = f"{model.name} has no version {version}."
            raise Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])


def check_revision(row: AliasRow | None, if_match: int | None) -> None:
    """Raise PreconditionFailed unless an alias is as somebody saw it."""
    if if_match is not None and (row.revision if row else 0) != if_match:
        raise PreconditionFailed("The alias was moved since you read it; read it again.")


def check_gates(session: Session, principal: Principal, model: ModelRow, revision: int) -> None:
    """Raise PreconditionFailed unless the gates are those that were looked at; 0 stands for none."""
    audit.take_turn(session, principal.project_id)
    row = find_gates(session, model)
    if (row.revision if row is not None else 0) != revision:
        raise PreconditionFailed("The gates were changed meanwhile; try again.")


def find_gates(session: Session, model: ModelRow) -> GateRow | None:
    """The gates of a model, as they are now."""
    return session.get(GateRow, model.id, populate_existing=True)


def get_gates(session: Session, model: ModelRow) -> GateRow:
    """The gates of a model. Raises: NotFound."""
    row = find_gates(session, model)
    if row is None:
        raise NotFound("gates of model", model.name)
    return row


def set_gates(session: Session, principal: Principal, model: ModelRow, body: GatesWrite) -> GateRow:
    """Replace the gates of a model."""
    audit.take_turn(session, principal.project_id)
    values = body.model_dump(mode="json")
    row = find_gates(session, model)
    if row is None:
        row = GateRow(model_id=model.id, revision=1)
        session.add(row)
    else:
        row.revision += 1
    row.aliases, row.rules, row.updated_at = values["aliases"], values["rules"], now()
    session.flush()
    audit.record(session, principal, "gates.set", model.name, **values)
    return row


def delete_gates(session: Session, principal: Principal, model: ModelRow) -> None:
    """Remove the gates of a model. Raises: NotFound."""
    audit.take_turn(session, principal.project_id)
    session.delete(get_gates(session, model))
    session.flush()
    audit.record(session, principal, "gates.delete", model.name)


def _find_usable(session: Session, model: ModelRow, alias: str, revision: int | None) -> AliasMoveRow | None:
    """The move at a revision, or the nearest one on the way back whose versions all still exist."""
    while revision is not None:
        found = session.get(AliasMoveRow, (model.id, alias, revision))
        if found is None:
            return None
        wanted = {found.version} if found.split is None else {int(version) for version in found.split}
        if all(session.get(ModelVersionRow, (model.id, version)) is not None for version in wanted):
            return found
        revision = found.back
    return None


def _last_revision(session: Session, model: ModelRow, alias: str) -> int:
    query = select(func.max(AliasMoveRow.revision)).where(
        AliasMoveRow.model_id == model.id, AliasMoveRow.alias == alias
    )
    return session.scalars(query).one() or 0


def _point(row: AliasRow, target: Target) -> None:
    row.version, row.split, row.updated_at = target.version, target.split, now()


def _record(
    session: Session, principal: Principal, model: ModelRow, row: AliasRow, *,
    action: str, back: int | None, forced: bool = False,
) -> None:  # fmt: skip
    session.flush()
    values = {"version": row.version, "split": row.split, "forced": forced}
    session.add(
        AliasMoveRow(
            model_id=model.id, alias=row.alias, revision=row.revision, action=action, back=back,
            key_id=principal.key_id, **values,
        )
    )  # fmt: skip
    session.flush()
    audited = {name: value for name, value in values.items() if value}
    audit.record(session, principal, f"alias.{action}", f"{model.name}@{row.alias}", **audited)
