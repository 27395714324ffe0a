"""/v1/studies: start, watch, and steer a search for good parameters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.principal import Principal
from app.studies import journal, service, watch
from app.studies.schemas import Status, StudyCreate, StudyEventRead, StudyRead
from app.studies.showing import show, show_all, show_studies
from app.web import event_stream
from app.web.event_stream import Accept, LastEventId
from app.web.idempotency import Create
from app.web.paging import Cursor, IfNoneMatch, Page, Paging, Wait, id_after, is_fresh, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("studies")
StudyId = Annotated[str, Path(max_length=64, description="Id of a study.")]
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The study has not changed."}}


@routes.post("/v1/studies", status_code=201, response_model=StudyRead)
@allow("jobs:write")
async def create_study(request: Request, body: StudyCreate, caller: Caller, create: Create) -> Response:
    """Start a study: its trials are training jobs here, or with `external` are run by clients that ask and tell."""

    def make(session: Session) -> tuple[str, StudyRead]:
        row = service.create(session, caller, body, request.app.state.settings)
        return f"/v1/studies/{row.id}", show(session, row)

    return await create.run(await request.body(), make)


@routes.get("/v1/studies")
@allow("read")
def list_studies(
    caller: Caller,
    session: InSession,
    cursor: Paging,
    status: Annotated[Status | None, Query(description="Only studies with this status.")] = None,
) -> Page[StudyRead]:
    """The studies of the project, newest first."""
    after = id_after(cursor, r"study_[0-9a-f]{32}")
    rows = service.list_page(session, caller, limit=cursor.limit, after=after, status=status)
    return page(show_studies(session, rows), cursor)


@routes.get("/v1/studies/{study_id}", response_model=StudyRead, responses=UNCHANGED)
@allow("read")
async def get_study(
    request: Request,
    response: Response,
    study_id: StudyId,
    caller: Caller,
    wait: Wait,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """One study, its best trial, which parameters mattered; `Prefer: wait=n` waits up to n seconds for its end."""
    sessions = request.app.state.read_sessions
    row = await watch.wait_until_done(sessions, caller, study_id, seconds=wait)
    etag = f'"{row.revision}"'
    if is_fresh(if_none_match, etag):
        return Response(status_code=304, headers={"etag": etag})
    response.headers["etag"] = etag
    if row.status in ("running", "paused"):
        response.headers["retry-after"] = "1"
    return await run_in_threadpool(show_all, sessions, row)


@routes.post("/v1/studies/{study_id}/cancel")
@allow("jobs:write")
def cancel_study(study_id: StudyId, caller: Caller, session: InSession) -> StudyRead:
    """Stop a study and its trials for good; nothing becomes a version."""
    return _act(session, caller, study_id, "cancel")


@routes.post("/v1/studies/{study_id}/finish")
@allow("jobs:write")
def finish_study(study_id: StudyId, caller: Caller, session: InSession) -> StudyRead:
    """Start no more trials, let running ones keep their best so far, and make the best trial a version."""
    return _act(session, caller, study_id, "finish")


@routes.post("/v1/studies/{study_id}/pause")
@allow("jobs:write")
def pause_study(study_id: StudyId, caller: Caller, session: InSession) -> StudyRead:
    """Start no more trials, and stop the running ones with checkpoints; the time limit stands still."""
    return _act(session, caller, study_id, "pause")


@routes.post("/v1/studies/{study_id}/resume")
@allow("jobs:write")
def resume_study(study_id: StudyId, caller: Caller, session: InSession) -> StudyRead:
    """Go on with a paused study and its paused trials."""
    return _act(session, caller, study_id, "resume")


@routes.get("/v1/studies/{study_id}/events", response_model=Page[StudyEventRead], responses=event_stream.RESPONSES)
@allow("read")
async def list_study_events(
    request: Request,
    study_id: StudyId,
    caller: Caller,
    cursor: Paging,
    accept: Accept = "application/json",
    last_event_id: LastEventId = None,
) -> Any:
    """What happened, oldest first: a page of JSON, or with `Accept: text/event-stream` a live stream."""
    sessions = request.app.state.read_sessions
    if event_stream.MEDIA_TYPE not in accept:
        return await run_in_threadpool(_event_page, sessions, caller, study_id, cursor)
    given = last_event_id if last_event_id is not None else cursor.after
    after = number(given, parameter="after")
    await watch.wait_until_done(sessions, caller, study_id, seconds=0)
    still_allowed = event_stream.still_allowed(request)
    return event_stream.respond(watch.stream(sessions, caller, study_id, after=after, still_allowed=still_allowed))


def _act(session: Session, caller: Principal, study_id: str, action: str) -> StudyRead:
    return show(session, service.act(session, caller, study_id, action))


def _event_page(sessions: Any, caller: Principal, study_id: str, cursor: Cursor) -> Page[StudyEventRead]:
    with sessions.begin() as session:
        study = service.get(session, caller, study_id)
        after = number(cursor.after, parameter="after")
        rows = journal.list_events(session, study.id, after=after, limit=cursor.limit + 1)
        return page([StudyEventRead.model_validate(row, from_attributes=True) for row in rows], cursor, key="seq")
