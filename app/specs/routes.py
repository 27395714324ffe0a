"""/v1/specs: what can be trained, and networks declared as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Response
from sqlalchemy.orm import Session
from starlette.requests import Request

from app.learning import specs
from app.learning.declared.grammar import Network
from app.learning.spec import describe
from app.specs import service
from app.specs.schemas import SpecCreate, SpecRead
from app.specs.service import Found
from app.web.idempotency import Create
from app.web.paging import Page, Paging, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("specs")
SpecName = Annotated[str, Path(max_length=200, description="Name of a spec.")]
Version = Annotated[int, Path(ge=1, le=10**9, description="Number of a version.")]


@routes.post("/v1/specs", status_code=201, response_model=SpecRead)
@allow("jobs:write")
async def create_spec(request: Request, body: SpecCreate, caller: Caller, create: Create) -> Response:
    """Declare a network as JSON, without code; the same name again makes a new version. Versions never change."""

    def make(session: Session) -> tuple[str, SpecRead]:
        shown = show(service.add(session, caller, body, request.app.state.settings))
        return f"/v1/specs/{shown.name}/versions/{shown.version}", shown

    return await create.run(await request.body(), make)


@routes.get("/v1/specs")
@allow("read")
def list_specs(caller: Caller, session: InSession, cursor: Paging) -> Page[SpecRead]:
    """The specs that jobs can name, in alphabetical order, each in its newest version; the cursor is the name."""
    found = service.list_page(session, caller, limit=cursor.limit, after=cursor.after)
    return page([show(each) for each in found], cursor, key="name")


@routes.get("/v1/specs:schema")
@allow("read")
def get_network_schema() -> dict[str, Any]:
    """The grammar of declared networks as a JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Network.model_json_schema()}


@routes.get("/v1/specs/{name}")
@allow("read")
def get_spec(name: SpecName, caller: Caller, session: InSession) -> SpecRead:
    """One spec in its newest version: its parameters with types, defaults, ranges and help."""
    return show(service.get(session, caller, name))


@routes.get("/v1/specs/{name}/versions")
@allow("read")
def list_spec_versions(name: SpecName, caller: Caller, session: InSession, cursor: Paging) -> Page[SpecRead]:
    """The versions of a spec, newest first; the cursor is the number."""
    before = number(cursor.after, parameter="after") if cursor.after is not None else None
    found = service.list_found_versions(session, caller, name, limit=cursor.limit, before=before)
    return page([show(each) for each in found], cursor, key="version")


@routes.get("/v1/specs/{name}/versions/{version}")
@allow("read")
def get_spec_version(name: SpecName, version: Version, caller: Caller, session: InSession) -> SpecRead:
    """One version of a spec."""
    return show(service.get(session, caller, name, version))


@routes.delete("/v1/specs/{name}/versions/{version}", status_code=204)
@allow("jobs:write")
def delete_spec_version(name: SpecName, version: Version, caller: Caller, session: InSession) -> None:
    """Delete a version that no job, study or model has in its record; its number is not used again."""
    service.delete_version(session, caller, name, version)


def show(found: Found) -> SpecRead:
    """A spec as clients see it."""
    described: dict[str, Any] = describe(found.spec)
    name, row = found.spec.name, found.row
    return SpecRead(
        json_schema=described.pop("schema"),
        reference=f"{name}@{found.spec.version}",
        origin="declared" if row else "built-in" if name in specs.SPECS else "package",
        network=row.network if row else None,
        params=row.params if row else None,
        sha256=row.sha256 if row else None,
        created_at=row.created_at if row else None,
        **described,
    )
