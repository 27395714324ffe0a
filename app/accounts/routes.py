"""/v1/keys, /v1/projects and /v1/audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from sqlalchemy.orm import Session
from starlette.requests import Request

from app.accounts import service
from app.accounts.schemas import AuditRead, KeyCreate, KeyCreated, KeyRead, ProjectRead
from app.tables import AuditRow, KeyRow
from app.web.idempotency import Create
from app.web.paging import Page, Paging, id_after, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("accounts")
KeyId = Annotated[str, Path(max_length=300, description="Id of a key: the part of its text between the underscores.")]


@routes.post("/v1/keys", status_code=201, response_model=KeyCreated)
@allow("admin")
async def create_key(request: Request, body: KeyCreate, caller: Caller, create: Create) -> Response:
    """Make an API key; its text is in this answer and nowhere else."""

    def make(session: Session) -> tuple[str, KeyCreated]:
        row, key = service.create_key(session, caller, body)
        return f"/v1/keys/{row.id}", KeyCreated(**_shown(row).model_dump(), key=key)

    return await create.run(await request.body(), make, never_stored=frozenset({"key"}))


@routes.get("/v1/keys")
@allow("admin")
def list_keys(caller: Caller, session: InSession, cursor: Paging) -> Page[KeyRead]:
    """The keys of the project, without their secrets."""
    rows = service.list_keys(session, caller, limit=cursor.limit, after=id_after(cursor, r"[A-Za-z0-9]{16}"))
    return page([_shown(row) for row in rows], cursor)


@routes.get("/v1/keys/{key_id}")
@allow("admin")
def get_key(key_id: KeyId, caller: Caller, session: InSession) -> KeyRead:
    """One key, without its secret."""
    return _shown(service.get_key(session, caller, key_id))


@routes.delete("/v1/keys/{key_id}")
@allow("admin")
def revoke_key(key_id: KeyId, caller: Caller, session: InSession) -> KeyRead:
    """Revoke a key; it stops working within a second."""
    return _shown(service.revoke_key(session, caller, key_id))


@routes.get("/v1/projects")
@allow("read")
def list_projects(caller: Caller, session: InSession, cursor: Paging) -> Page[ProjectRead]:
    """The projects that the key can see: its own."""
    row = service.get_project(session, caller)
    shown = [ProjectRead(id=row.id, name=row.name, created_at=row.created_at)]
    return page(shown if id_after(cursor, r"proj_[0-9a-f]{32}") is None else [], cursor)


@routes.get("/v1/audit")
@allow("admin")
def list_audit(caller: Caller, session: InSession, cursor: Paging) -> Page[AuditRead]:
    """The audit trail of the project, oldest first; each entry's digest covers the one before."""
    rows = service.list_audit(session, caller, limit=cursor.limit, after=number(cursor.after, parameter="after"))
    return page([_entry(row) for row in rows], cursor, key="seq")


def _shown(row: KeyRow) -> KeyRead:
    return KeyRead.model_validate(row, from_attributes=True)


def _entry(row: AuditRow) -> AuditRead:
    return AuditRead(
        target=row.object,
        **{name: getattr(row, name) for name in AuditRead.model_fields if name not in ("object", "target")},
    )
