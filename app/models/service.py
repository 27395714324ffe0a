"""Models: versions added by jobs, found by reference, given aliases, deleted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.durable import Blob
from app.errors import Conflict, NotFound
from app.ids import new_id
from app.models.reference import BEST, Reference
from app.principal import Principal
from app.tables import AliasMoveRow, AliasRow, GateRow, JobRow, ModelRow, ModelVersionRow, ShadowRow, SnapshotRow


def add_version(
    session: Session, job: JobRow, *, manifest: dict[str, Any], metrics: dict[str, Any], files: Mapping[str, Blob]
) -> int:
    """Store a job's result, with its weights, graph and evaluation, under the next free number; returns that."""
    audit.take_turn(session, job.project_id)
    model = _open(session, job.project_id, job.model or "")
    number = session.scalars(
        update(ModelRow)
        .where(ModelRow.id == model.id)
        .values(num_versions=ModelRow.num_versions + 1)
        .returning(ModelRow.num_versions)
        .execution_options(synchronize_session=False)
    ).one()
    session.add(
        ModelVersionRow(
            model_id=model.id,
            version=number,
            job_id=job.id,
            dataset_id=job.dataset_id,
            status="ready",
            spec=manifest["spec"]["name"],
            task=manifest["task"],
            manifest=manifest,
            weights_sha256=files["weights"].sha256,
            graph_sha256=files["graph"].sha256,
            evaluation_sha256=files["evaluation"].sha256,
            digests=_digests(job, manifest, files),
            lineage=_lineage(job),
            metrics=metrics,
            size_bytes=files["weights"].size_bytes + files["graph"].size_bytes,
            created_at=now(),
        )
    )
    session.flush()
    return number


def _lineage(job: JobRow) -> dict[str, Any]:
    study = {"study": job.study_id, "trial": job.trial} if job.study_id is not None else {}
    return {"job": job.id, "dataset": job.dataset_id, "digests": job.digests} | study


def _digests(job: JobRow, manifest: dict[str, Any], files: Mapping[str, Blob]) -> dict[str, str]:
    return {
        **{name: files[name].sha256 for name in ("weights", "graph", "evaluation")},
        "manifest": hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
        "dataset": job.digests["dataset"],
        "table": job.digests["table"],
    }


def _open(session: Session, project_id: str, name: str) -> ModelRow:
    query = select(ModelRow).where(ModelRow.project_id == project_id, ModelRow.name == name)
    found = session.scalars(query).first()
    if found is not None:
        return found
    try:
        with session.begin_nested():
            session.add(
                ModelRow(id=new_id("model"), project_id=project_id, name=name, num_versions=0, created_at=now())
            )
    except IntegrityError:
        pass  # another job made it in the meantime
    return session.scalars(query).one()


def get(session: Session, principal: Principal, name: str) -> ModelRow:
    """A model of the caller's project, and of its key if that is bound to one. Raises: NotFound."""
    row = session.scalars(
        select(ModelRow).where(ModelRow.project_id == principal.project_id, ModelRow.name == name)
    ).first()
    if row is None or (principal.model is not None and principal.model != name):
        raise NotFound("model", name)
    return row


def get_version(session: Session, principal: Principal, reference: Reference) -> ModelVersionRow:
    """The version a reference means; `best` the newest, once no job is making it better. Raises: NotFound."""
    model = get(session, principal, reference.name)
    query = select(ModelVersionRow).where(ModelVersionRow.model_id == model.id)
    if reference.alias not in (None, BEST):
        query = query.join(
            AliasRow,
            (AliasRow.model_id == ModelVersionRow.model_id)
            & (AliasRow.version == ModelVersionRow.version)
            & (AliasRow.alias == reference.alias),
        )
    elif reference.version is not None:
        query = query.where(ModelVersionRow.version == reference.version)
    row = session.scalars(query.order_by(ModelVersionRow.version.desc()).limit(1)).first()
    if row is None:
        tail = reference.alias if reference.alias is not None else reference.version
        raise NotFound("model version", f"{reference.name}@{tail}" if tail is not None else reference.name)
    return row


def get_served(
    session: Session, principal: Principal, reference: Reference
) -> dict[int, tuple[ModelVersionRow, float]]:
    """The versions that answer a reference, each with its share: one, unless an alias is split. Raises: NotFound."""
    row = get_version(session, principal, reference)
    alias = session.get(AliasRow, (row.model_id, reference.alias)) if reference.alias is not None else None
    if alias is None or alias.split is None:
        return {row.version: (row, 1.0)}
    shares = {int(version): float(weight) for version, weight in alias.split.items()}
    query = select(ModelVersionRow).where(ModelVersionRow.model_id == row.model_id, ModelVersionRow.version.in_(shares))
    return {each.version: (each, shares[each.version]) for each in session.scalars(query)}


def find_shadow(session: Session, model_id: str, alias: str) -> tuple[ShadowRow, ModelVersionRow] | None:
    """The shadow of an alias, if it has one, and the version."""
    row = session.get(ShadowRow, (model_id, alias))
    version = session.get(ModelVersionRow, (model_id, row.version)) if row is not None else None
    return (row, version) if row is not None and version is not None else None


def find_snapshot(session: Session, principal: Principal, name: str) -> SnapshotRow | None:
    """The best weights so far of the newest job for a model that has not ended and has some; None without one."""
    if principal.model is not None and principal.model != name:
        raise NotFound("model", name)
    query = select(SnapshotRow).join(JobRow, JobRow.id == SnapshotRow.job_id)
    query = query.where(JobRow.project_id == principal.project_id, JobRow.model == name)
    return session.scalars(query.order_by(JobRow.id.desc()).limit(1)).first()


def find_version_of(session: Session, job_id: str) -> ModelVersionRow | None:
    """The version that a job made, unless it was deleted."""
    return session.scalars(select(ModelVersionRow).where(ModelVersionRow.job_id == job_id)).first()


def list_page(session: Session, principal: Principal, *, limit: int, after: str | None) -> Sequence[ModelRow]:
    """Models of the project, newest first, one more than `limit` if there are more."""
    query = select(ModelRow).where(ModelRow.project_id == principal.project_id)
    if principal.model is not None:
        query = query.where(ModelRow.name == principal.model)
    if after is not None:
        query = query.where(ModelRow.id < after)
    return session.scalars(query.order_by(ModelRow.id.desc()).limit(limit + 1)).all()


def list_versions(
    session: Session, model: ModelRow, *, limit: int, before: int | None = None
) -> Sequence[ModelVersionRow]:
    """Versions of a model, newest first, one more than `limit` if there are more."""
    query = select(ModelVersionRow).where(ModelVersionRow.model_id == model.id)
    if before is not None:
        query = query.where(ModelVersionRow.version < before)
    return session.scalars(query.order_by(ModelVersionRow.version.desc()).limit(limit + 1)).all()


def list_status(
    session: Session, principal: Principal, *, limit: int, name: str | None = None
) -> Sequence[tuple[str, int, str]]:
    """Name, number and status of the versions of one model or of all, by name and number, up to a limit."""
    query = select(ModelRow.name, ModelVersionRow.version, ModelVersionRow.status)
    query = query.join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
    query = query.where(ModelRow.project_id == principal.project_id)
    if principal.model is not None:
        query = query.where(ModelRow.name == principal.model)
    if name is not None:
        query = query.where(ModelRow.name == name)
    rows = session.execute(query.order_by(ModelRow.name, ModelVersionRow.version).limit(limit))
    return [(name, version, status) for name, version, status in rows]


def version_numbers(session: Session, model_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For each model with versions: how many exist, and the newest."""
    rows = session.execute(
        select(ModelVersionRow.model_id, func.count(), func.max(ModelVersionRow.version))
        .where(ModelVersionRow.model_id.in_(model_ids))
        .group_by(ModelVersionRow.model_id)
    )
    return {model_id: (count, newest) for model_id, count, newest in rows}


def list_aliases(session: Session, model_ids: Sequence[str]) -> Sequence[AliasRow]:
    """The aliases of some models."""
    return session.scalars(select(AliasRow).where(AliasRow.model_id.in_(model_ids)).order_by(AliasRow.alias)).all()


def versions_of(alias: AliasRow) -> set[int]:
    """The versions that an alias points at."""
    return {alias.version} if alias.split is None else {int(version) for version in alias.split}


def delete_version(session: Session, principal: Principal, model: ModelRow, version: int) -> None:
    """Remove a version; its number is not used again. Raises: NotFound; Conflict when an alias points at it."""
    audit.take_turn(session, principal.project_id)
    row = get_version(session, principal, Reference(model.name, version))
    pointing = [alias.alias for alias in list_aliases(session, [model.id]) if version in versions_of(alias)]
    if pointing:
        raise Conflict(f"The alias {pointing[0]} points at this version; move it first.", code="in-use")
    shadowed = select(ShadowRow).where(ShadowRow.model_id == model.id, ShadowRow.version == version)
    shadow = session.scalars(shadowed).first()
    if shadow is not None:
        raise Conflict(f"This version is the shadow of the alias {shadow.alias}; take it away first.", code="in-use")
    session.delete(row)
    session.flush()
    audit.record(session, principal, "model.delete_version", f"{model.name}@{version}")


def withdraw(session: Session, principal: Principal, name: str, row: ModelVersionRow) -> None:
    """Remove a version because the data it was learned from goes: out of splits, with aliases of it alone."""
    audit.take_turn(session, principal.project_id)
    shadows = sql_delete(ShadowRow).where(ShadowRow.model_id == row.model_id, ShadowRow.version == row.version)
    session.execute(shadows)
    for alias in list_aliases(session, [row.model_id]):
        if row.version in versions_of(alias):
            session.add(_withdraw_from(session, principal, alias, row.version))
    session.flush()
    session.delete(row)
    session.flush()
    audit.record(session, principal, "model.delete_version", f"{name}@{row.version}")


def _withdraw_from(session: Session, principal: Principal, alias: AliasRow, version: int) -> AliasMoveRow:
    """Point an alias at what is left of its split, or remove it; the move that tells so."""
    move = AliasMoveRow(model_id=alias.model_id, alias=alias.alias, revision=alias.revision + 1, action="withdraw")
    move.key_id = principal.key_id
    rest = {number: weight for number, weight in (alias.split or {}).items() if number != str(version)}
    if rest:
        move.back = alias.revision
        alias.version = move.version = int(max(rest, key=lambda number: rest[number]))
        alias.split = move.split = rest if len(rest) > 1 else None
        alias.revision += 1
    else:
        session.execute(
            sql_delete(ShadowRow).where(ShadowRow.model_id == alias.model_id, ShadowRow.alias == alias.alias)
        )
        session.delete(alias)
    return move


def delete(session: Session, principal: Principal, model: ModelRow) -> None:
    """Remove a model with its versions, aliases and gates."""
    audit.take_turn(session, principal.project_id)
    for table in (ShadowRow, GateRow, AliasMoveRow, AliasRow, ModelVersionRow):
        session.execute(sql_delete(table).where(table.model_id == model.id))
    session.delete(model)
    session.flush()
    audit.record(session, principal, "model.delete", model.name)
