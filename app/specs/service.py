"""Specs: those of the service and of packages, and those that a project declares, in versions that never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.errors import Conflict, Invalid, NotFound
from app.ids import new_id
from app.learning import specs
from app.learning.declared.reading import digest, read
from app.learning.declared.spec import make_spec
from app.learning.errors import LearningError
from app.learning.spec import Spec
from app.principal import Principal
from app.settings import Settings
from app.specs.schemas import SpecCreate
from app.tables import JobRow, ModelRow, ModelVersionRow, SpecRow, SpecVersionRow, StudyRow

MAX_NAMES = 1000
MAX_LISTED = 20
PLACES = {"model": "models", "job": "jobs", "study": "studies"}


@dataclass(frozen=True)
class Found:
    """A spec, and the row of what the project has declared, if it has."""

    spec: Spec
    row: SpecVersionRow | None = None


def add(session: Session, principal: Principal, request: SpecCreate, settings: Settings) -> Found:
    """Store a declared spec under the next free number of its name.

    Raises: Invalid pointing at each impossible layer or parameter; Conflict when the name is not the project's to give.
    """
    audit.take_turn(session, principal.project_id)
    if request.name in specs.installed():
        detail = f"The service or a package has a spec '{request.name}'; choose another name."
        raise Conflict(detail, errors=[{"pointer": "/name", "detail": detail}])
    try:
        declared = read(request.model_dump(exclude={"name"}), settings.max_parameters)
    except LearningError as error:
        code = "limits-exceeded" if error.code == "limits-exceeded" else None
        raise Invalid(error.message, code=code, errors=[dict(e) for e in error.errors]) from None
    spec = _open(session, principal, request.name)
    spec.num_versions += 1
    row = SpecVersionRow(
        spec_id=spec.id, version=spec.num_versions, sha256=digest(declared), created_at=now(), **declared
    )
    session.add(row)
    session.flush()
    audit.record(session, principal, "spec.create", f"{request.name}@{row.version}", sha256=row.sha256)
    return _found(request.name, row)


def _open(session: Session, principal: Principal, name: str) -> SpecRow:
    found = _find_name(session, principal, name)
    if found is not None:
        return found
    query = select(func.count()).where(SpecRow.project_id == principal.project_id)
    if session.scalars(query).one() >= MAX_NAMES:
        raise Invalid(f"A project may declare {MAX_NAMES} names of specs.", code="limits-exceeded")
    row = SpecRow(id=new_id("spec"), project_id=principal.project_id, name=name, num_versions=0, created_at=now())
    session.add(row)
    session.flush()
    return row


def get(session: Session, principal: Principal, name: str, version: int | None = None) -> Found:
    """One spec, by default its newest version. What the project has declared hides what has its name since.

    Raises: NotFound.
    """
    row = _find_version(session, principal, name, version)
    if row is not None:
        return _found(name, row)
    spec = specs.installed().get(name)
    if spec is None or version not in (None, spec.version):
        raise NotFound("spec", name if version is None else f"{name}@{version}")
    return Found(spec)


def find_declaration(session: Session, principal: Principal, reference: str) -> dict[str, Any] | None:
    """What the project has declared under `name` or `name@version`, as plans carry it; None when it is not its own.

    Raises: Invalid when the name is the project's and the version is none of it.
    """
    name, at, version = reference.partition("@")
    spec = _find_name(session, principal, name)
    if spec is None:
        return None
    number = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0
    row = _find_version(session, principal, name, number if at else None)
    if row is not None:
        return _to_json(row)
    if name in specs.installed():
        return None
    existing = [str(each.version) for each in list_versions(session, principal, name, limit=MAX_LISTED)]
    detail = f"Spec {name} has no such version; it has {', '.join(reversed(existing)) or 'none any more'}."
    raise Invalid(detail, errors=[{"pointer": "/spec", "detail": detail}])


def list_page(session: Session, principal: Principal, *, limit: int, after: str | None) -> list[Found]:
    """The newest version of each spec that the project can name, by name, one more than `limit` if there are more."""
    # Sorted here, because the two databases sort letters in two ways.
    own = session.execute(
        select(SpecRow.name, func.max(SpecVersionRow.version))
        .join(SpecVersionRow, SpecVersionRow.spec_id == SpecRow.id)
        .where(SpecRow.project_id == principal.project_id)
        .group_by(SpecRow.name)
    )
    names = sorted({name for name, _ in own} | specs.installed().keys())
    rest = [name for name in names if after is None or name > after]
    return [get(session, principal, name) for name in rest[: limit + 1]]


def list_versions(
    session: Session, principal: Principal, name: str, *, limit: int, before: int | None = None
) -> Sequence[SpecVersionRow]:
    """The versions of a declared spec, newest first, one more than `limit` if there are more."""
    spec = _find_name(session, principal, name)
    query = select(SpecVersionRow).where(SpecVersionRow.spec_id == (spec.id if spec else ""))
    if before is not None:
        query = query.where(SpecVersionRow.version < before)
    return session.scalars(query.order_by(SpecVersionRow.version.desc()).limit(limit + 1)).all()


def list_found_versions(
    session: Session, principal: Principal, name: str, *, limit: int, before: int | None
) -> list[Found]:
    """The versions of any spec, newest first, one more than `limit` if there are more. Raises: NotFound."""
    newest = get(session, principal, name)
    if newest.row is None:
        return [newest] if before is None or newest.spec.version < before else []
    rows = list_versions(session, principal, name, limit=limit, before=before)
    return [_found(name, row) for row in rows]


def delete_version(session: Session, principal: Principal, name: str, version: int) -> None:
    """Remove a version that no job, study or model has in its record; its number is not used again.

    Raises: NotFound; Conflict listing who uses it, or because it is not the project's own.
    """
    audit.take_turn(session, principal.project_id)
    found = get(session, principal, name, version)
    if found.row is None:
        raise Conflict("Only what the project has declared can be deleted.")
    users = _users(session, principal, name, version)
    if users:
        listed = ", ".join(user for user, _ in users[:5])
        errors = [
            {"pointer": f"/{PLACES[kind]}/{user}", "detail": f"the {kind} has it in its record"} for user, kind in users
        ]
        raise Conflict(f"The spec {name}@{version} is part of the record of {listed}.", code="in-use", errors=errors)
    session.delete(found.row)
    session.flush()
    audit.record(session, principal, "spec.delete_version", f"{name}@{version}", sha256=found.row.sha256)


def _users(session: Session, principal: Principal, name: str, version: int) -> list[tuple[str, str]]:
    spec = ModelVersionRow.manifest["spec"]
    versions = session.execute(
        select(ModelRow.name, ModelVersionRow.version)
        .join(ModelVersionRow, ModelVersionRow.model_id == ModelRow.id)
        .where(ModelRow.project_id == principal.project_id, ModelVersionRow.spec == name)
        .where(spec["version"].as_integer() == version, spec["sha256"].as_string().is_not(None))
        .limit(MAX_LISTED)
    )
    users = [(f"{model}@{number}", "model") for model, number in versions]
    jobs = session.scalars(
        select(JobRow.id)
        .where(JobRow.project_id == principal.project_id, JobRow.plan["spec"].as_string() == name)
        .where(JobRow.plan["declaration", "version"].as_integer() == version)
        .order_by(JobRow.id)
        .limit(MAX_LISTED)
    )
    studies = session.scalars(
        select(StudyRow.id)
        .where(StudyRow.project_id == principal.project_id)
        .where(StudyRow.plan["spec"].as_string() == f"{name}@{version}")
        .order_by(StudyRow.id)
        .limit(MAX_LISTED)
    )
    return [*users, *((job, "job") for job in jobs), *((study, "study") for study in studies)]


def _find_name(session: Session, principal: Principal, name: str) -> SpecRow | None:
    query = select(SpecRow).where(SpecRow.project_id == principal.project_id, SpecRow.name == name)
    return session.scalars(query).first()


def _find_version(session: Session, principal: Principal, name: str, version: int | None) -> SpecVersionRow | None:
    query = (
        select(SpecVersionRow)
        .join(SpecRow, SpecRow.id == SpecVersionRow.spec_id)
        .where(SpecRow.project_id == principal.project_id, SpecRow.name == name)
    )
    if version is not None:
        query = query.where(SpecVersionRow.version == version)
    return session.scalars(query.order_by(SpecVersionRow.version.desc()).limit(1)).first()


def _found(name: str, row: SpecVersionRow) -> Found:
    return Found(make_spec(name, _to_json(row)), row)


def _to_json(row: SpecVersionRow) -> dict[str, Any]:
    return {part: getattr(row, part) for part in ("version", "description", "network", "params", "sha256")}
