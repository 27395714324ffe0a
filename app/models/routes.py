"""/v1/models: versions and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Path
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse

from app.models import service
from app.models.reference import NAME, Reference
from app.models.schemas import ModelRead, VersionRead
from app.storage import Storage
from app.tables import ModelRow, ModelVersionRow
from app.web.downloads import RESPONSES, Download
from app.web.paging import Page, Paging, id_after, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("models")
ModelName = Annotated[str, Path(pattern=rf"^{NAME}$", description="Name of a model.")]
Version = Annotated[int, Path(ge=1, le=10**9, description="Number of a version.")]


@routes.get("/v1/models")
@allow("read", bound_keys=True)
def list_models(caller: Caller, session: InSession, cursor: Paging) -> Page[ModelRead]:
    """The models of the project, newest first."""
    rows = service.list_page(session, caller, limit=cursor.limit, after=id_after(cursor, r"model_[0-9a-f]{32}"))
    return page(_show_models(session, rows), cursor)


@routes.get("/v1/models/{name}")
@allow("read", bound_keys=True)
def get_model(name: ModelName, caller: Caller, session: InSession) -> ModelRead:
    """One model with its aliases."""
    return _show_models(session, [service.get(session, caller, name)])[0]


@routes.get("/v1/models/{name}/versions")
@allow("read", bound_keys=True)
def list_model_versions(name: ModelName, caller: Caller, session: InSession, cursor: Paging) -> Page[VersionRead]:
    """The versions of a model, newest first; the cursor is the number."""
    model = service.get(session, caller, name)
    before = number(cursor.after, parameter="after") if cursor.after is not None else None
    rows = service.list_versions(session, model, limit=cursor.limit, before=before)
    return page([show_version(name, row) for row in rows], cursor, key="version")


@routes.get("/v1/models/{name}/versions/{version}")
@allow("read", bound_keys=True)
def get_model_version(name: ModelName, version: Version, caller: Caller, session: InSession) -> VersionRead:
    """One version: what it is made of, where it came from, how good it is."""
    return show_version(name, service.get_version(session, caller, Reference(name, version)))


@routes.get("/v1/models/{name}/versions/{version}/weights", response_class=FileResponse, responses=RESPONSES)
@allow("models:write")
async def download_weights(request: Request, name: ModelName, version: Version, caller: Caller) -> Download:
    """The weights as a safetensors file, checked against their digest first."""

    def find() -> str:
        with request.app.state.read_sessions.begin() as session:
            return service.get_version(session, caller, Reference(name, version)).weights_sha256

    sha256 = await run_in_threadpool(find)
    storage: Storage = request.app.state.storage
    path = await run_in_threadpool(storage.verified_path, sha256)
    return Download(path, filename=f"{name}-{version}.safetensors", sha256=sha256)


@routes.delete("/v1/models/{name}", status_code=204)
@allow("models:write")
def delete_model(name: ModelName, caller: Caller, session: InSession) -> None:
    """Delete a model with all its versions and aliases."""
    service.delete(session, caller, service.get(session, caller, name))


@routes.delete("/v1/models/{name}/versions/{version}", status_code=204)
@allow("models:write")
def delete_model_version(name: ModelName, version: Version, caller: Caller, session: InSession) -> None:
    """Delete one version; its number is not used again."""
    service.delete_version(session, caller, service.get(session, caller, name), version)


def show_version(name: str, row: ModelVersionRow) -> VersionRead:
    """A version as clients see it."""
    values = {field: getattr(row, field) for field in VersionRead.model_fields if hasattr(row, field)}
    return VersionRead(model=name, reference=f"{name}@{row.version}", **values)


def _show_models(session: Session, rows: Sequence[ModelRow]) -> list[ModelRead]:
    ids = [row.id for row in rows]
    numbers = service.version_numbers(session, ids)
    aliases = service.list_aliases(session, ids)
    return [
        ModelRead(
            id=row.id,
            name=row.name,
            num_versions=numbers.get(row.id, (0, 0))[0],
            latest_version=numbers.get(row.id, (0, None))[1],
            aliases={alias.alias: alias.version for alias in aliases if alias.model_id == row.id},
            created_at=row.created_at,
        )
        for row in rows
    ]
