"""/v1/models/{name}/aliases: where aliases point, moved through the gates, rolled back at once."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Path, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.errors import Invalid
from app.models import service as models
from app.models.reference import ALIAS
from app.models.routes import ModelName
from app.tables import AliasMoveRow, AliasRow
from app.traffic import checking, service
from app.traffic.checking import Place
from app.traffic.schemas import AliasRead, AliasWrite, MoveRead
from app.traffic.service import Target
from app.web.paging import Page, Paging, Wait, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("models")
AliasName = Annotated[str, Path(pattern=rf"^{ALIAS}$", description="Name of an alias, such as champion.")]
IfMatch = Annotated[str | None, Header(description="The ETag of the alias as you read it.")]
ETAG = re.compile(r'"(\d{1,18})"')
# Nothing but a comparison of two versions takes long.
WAIT_SECONDS = 30.0


@routes.get("/v1/models/{name}/aliases/{alias}")
@allow("read", bound_keys=True)
def get_alias(response: Response, name: ModelName, alias: AliasName, caller: Caller, session: InSession) -> AliasRead:
    """Where an alias points; its ETag is what `If-Match` of the next move takes."""
    row = service.get_alias(session, models.get(session, caller, name), alias)
    return _show(response, name, row)


@routes.put("/v1/models/{name}/aliases/{alias}")
@allow("models:write")
async def put_alias(
    request: Request,
    response: Response,
    name: ModelName,
    alias: AliasName,
    body: AliasWrite,
    caller: Caller,
    wait: Wait,
    if_match: IfMatch = None,
) -> AliasRead:
    """Point an alias at a version, or at several with shares; 412 when somebody moved it, 409 when a gate says no."""
    place = place_of(request)
    target = _target(body)
    if_match_revision = _revision(if_match)
    seen = await run_in_threadpool(checking.look, place, caller, name, alias, target, if_match_revision)
    if seen.guarded and not body.force:
        seconds = wait or WAIT_SECONDS
        verdicts = [await checking.check(place, caller, seen, row, seconds=seconds) for row in seen.candidates]
        checking.refuse_failed(name, alias, verdicts)
        # What it pointed at is what the version was compared with.
        if_match_revision = seen.revision

    def move() -> AliasRead:
        with place.sessions.begin() as session:
            model = models.get(session, caller, name)
            service.check_gates(session, caller, model, seen.gates_revision)
            forced = body.force and seen.guarded
            row = service.move(session, caller, model, alias, target, if_match=if_match_revision, forced=forced)
            return _show(response, name, row)

    return await run_in_threadpool(move)


@routes.post("/v1/models/{name}/aliases/{alias}/rollback")
@allow("models:write")
def roll_back_alias(
    response: Response,
    name: ModelName,
    alias: AliasName,
    caller: Caller,
    session: InSession,
    if_match: IfMatch = None,
) -> AliasRead:
    """Point an alias at what it pointed at before, past its gates; again, and it goes back further."""
    model = models.get(session, caller, name)
    row = service.roll_back(session, caller, model, alias, if_match=_revision(if_match))
    return _show(response, name, row)


@routes.get("/v1/models/{name}/aliases/{alias}/history")
@allow("read", bound_keys=True)
def list_alias_moves(
    name: ModelName, alias: AliasName, caller: Caller, session: InSession, cursor: Paging
) -> Page[MoveRead]:
    """Where an alias has pointed, newest first; the cursor is the revision."""
    model = models.get(session, caller, name)
    before = number(cursor.after, parameter="after") if cursor.after is not None else None
    rows = service.history(session, model, alias, limit=cursor.limit, before=before)
    return page([_show_move(row) for row in rows], cursor, key="revision")


@routes.delete("/v1/models/{name}/aliases/{alias}", status_code=204)
@allow("models:write")
def delete_alias(name: ModelName, alias: AliasName, caller: Caller, session: InSession) -> None:
    """Remove an alias; the version stays."""
    service.delete_alias(session, caller, models.get(session, caller, name), alias)


def place_of(request: Request) -> Place:
    """What a check needs of this process."""
    state = request.app.state
    return Place(state.settings, state.sessions, state.read_sessions, state.storage, state.served)


def _target(body: AliasWrite) -> Target:
    if body.split is None:
        return Target(body.version or 0)
    greatest = max(body.split, key=lambda version: (body.split or {})[version])
    return Target(int(greatest), body.split if len(body.split) > 1 else None)


def _show(response: Response, name: str, row: AliasRow) -> AliasRead:
    etag = f'"{row.revision}"'
    response.headers["etag"] = etag
    return AliasRead(
        model=name, alias=row.alias, version=row.version, split=row.split, etag=etag, updated_at=row.updated_at
    )


def _show_move(row: AliasMoveRow) -> MoveRead:
    values = {name: getattr(row, name) for name in MoveRead.model_fields if hasattr(row, name)}
    return MoveRead(key=row.key_id, **values)


def _revision(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = ETAG.fullmatch(if_match.strip())
    if match is None:
        detail = 'If-Match takes the ETag of the alias, such as "3".'
        raise Invalid(detail, errors=[{"pointer": "header:if-match", "detail": detail}])
    return int(match[1])
