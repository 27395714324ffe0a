"""/v1/jobs: submit, watch, and steer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.jobs import estimates, journal, queue, service, watch
from app.jobs.estimate_schemas import ValidationRead
from app.jobs.schemas import (
    CheckpointRead,
    EventRead,
    JobCreate,
    JobPatch,
    JobRead,
    LogRead,
    Status,
)
from app.tables import JobRow
from app.web import event_stream
from app.web.event_stream import Accept, LastEventId
from app.web.idempotency import Create
from app.web.paging import Cursor, IfNoneMatch, Page, Paging, Wait, id_after, is_fresh, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("jobs")
JobId = Annotated[str, Path(max_length=64, description="Id of a job.")]


@routes.post("/v1/jobs", status_code=201, response_model=JobRead)
@allow("jobs:write")
async def create_job(request: Request, body: JobCreate, caller: Caller, create: Create, wait: Wait) -> Response:
    """Start a background training job; with `Prefer: wait=n` the answer waits up to n seconds for its end."""

    def make(session: Session) -> tuple[str, JobRead]:
        row = service.submit(session, caller, body, request.app.state.settings)
        return f"/v1/jobs/{row.id}", show(row)

    return await after_wait(request, await create.run(await request.body(), make), wait)


@routes.post("/v1/jobs:validate")
@allow("read")
async def validate_job(
    request: Request,
    body: JobCreate,
    caller: Caller,
    timed: Annotated[bool, Query(description="Whether to try it on a sample: a second or two.")] = True,
) -> ValidationRead:
    """Say what a job would do and take, or what is wrong with it, without starting it."""
    state = request.app.state

    def check() -> tuple[dict[str, Any], dict[str, Any]]:
        with state.read_sessions.begin() as session:
            return service.check(session, caller, body, state.settings)

    plan, limits = await run_in_threadpool(check)
    answer = estimates.untimed("It was not asked for.")
    if timed:
        asked = estimates.Asked(body.dataset, plan, limits)
        answer = await estimates.estimate(state.sessions, state.read_sessions, caller, asked)
    return ValidationRead(plan=plan, limits=limits, **answer)


@routes.get("/v1/jobs")
@allow("read")
def list_jobs(
    caller: Caller,
    session: InSession,
    cursor: Paging,
    status: Annotated[Status | None, Query(description="Only jobs with this status.")] = None,
    model: Annotated[str | None, Query(max_length=200, description="Only jobs for this model.")] = None,
    study: Annotated[str | None, Query(max_length=64, description="Only trials of this study.")] = None,
) -> Page[JobRead]:
    """The jobs of the project, newest first."""
    after = id_after(cursor, r"job_[0-9a-f]{32}")
    rows = service.list_page(session, caller, limit=cursor.limit, after=after, status=status, model=model, study=study)
    return page([show(row) for row in rows], cursor)


@routes.get("/v1/jobs/{job_id}", response_model=JobRead, responses={304: {"description": "The job has not changed."}})
@allow("read")
async def get_job(
    request: Request,
    response: Response,
    job_id: JobId,
    caller: Caller,
    wait: Wait,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """One job; with `Prefer: wait=n` the answer waits up to n seconds for its end."""
    row = await watch.wait_until_done(request.app.state.read_sessions, caller, job_id, seconds=wait)
    etag = etag_of(row)
    if is_fresh(if_none_match, etag):
        return Response(status_code=304, headers={"etag": etag})
    response.headers["etag"] = etag
    if row.status not in queue.TERMINAL:
        response.headers["retry-after"] = "1"
    return show(row)


@routes.patch("/v1/jobs/{job_id}")
@allow("jobs:write")
def patch_job(
    request: Request,
    response: Response,
    job_id: JobId,
    body: JobPatch,
    caller: Caller,
    session: InSession,
    if_match: Annotated[str | None, Header(description="The ETag of the job as you read it.")] = None,
) -> JobRead:
    """Change the priority of a job or its time limit, which a running one obeys at once; 409 when it has ended."""

    def is_current(row: JobRow) -> bool:
        return if_match is None or is_fresh(if_match, etag_of(row))

    row = service.change(session, caller, job_id, body, request.app.state.settings, is_current=is_current)
    response.headers["etag"] = etag_of(row)
    return show(row)


@routes.post("/v1/jobs/{job_id}/retry", status_code=201, response_model=JobRead)
@allow("jobs:write")
async def retry_job(request: Request, job_id: JobId, caller: Caller, create: Create) -> Response:
    """Queue a new job with the plan of one that failed or was cancelled."""

    def make(session: Session) -> tuple[str, JobRead]:
        row = service.retry(session, caller, job_id, request.app.state.settings)
        return f"/v1/jobs/{row.id}", show(row)

    return await create.run(job_id.encode(), make)


@routes.post("/v1/jobs/{job_id}/reproduce", status_code=201, response_model=JobRead)
@allow("jobs:write")
async def reproduce_job(request: Request, job_id: JobId, caller: Caller, create: Create, wait: Wait) -> Response:
    """Train again what a job has trained and compare the bits: the new job's `reproduction` says how equal they are."""

    def make(session: Session) -> tuple[str, JobRead]:
        row = service.reproduce(session, caller, job_id, request.app.state.settings)
        return f"/v1/jobs/{row.id}", show(row)

    return await after_wait(request, await create.run(job_id.encode(), make), wait)


@routes.post("/v1/jobs/{job_id}/cancel")
@allow("jobs:write")
def cancel_job(job_id: JobId, caller: Caller, session: InSession) -> JobRead:
    """Stop a job for good."""
    return show(service.act(session, caller, job_id, "cancel"))


@routes.post("/v1/jobs/{job_id}/pause")
@allow("jobs:write")
def pause_job(job_id: JobId, caller: Caller, session: InSession) -> JobRead:
    """Stop a job at its next step, with a checkpoint from which `resume` goes on."""
    return show(service.act(session, caller, job_id, "pause"))


@routes.post("/v1/jobs/{job_id}/resume")
@allow("jobs:write")
def resume_job(job_id: JobId, caller: Caller, session: InSession) -> JobRead:
    """Queue a paused job again."""
    return show(service.act(session, caller, job_id, "resume"))


@routes.post("/v1/jobs/{job_id}/finish")
@allow("jobs:write")
def finish_job(job_id: JobId, caller: Caller, session: InSession) -> JobRead:
    """Stop training now, keep the best weights, and store them as a version."""
    return show(service.act(session, caller, job_id, "finish"))


@routes.get("/v1/jobs/{job_id}/events", response_model=Page[EventRead], responses=event_stream.RESPONSES)
@allow("read")
async def list_job_events(
    request: Request,
    job_id: JobId,
    caller: Caller,
    cursor: Paging,
    accept: Accept = "application/json",
    last_event_id: LastEventId = None,
) -> Any:
    """What happened, oldest first: a page of JSON, or with `Accept: text/event-stream` a live stream."""
    sessions = request.app.state.read_sessions
    if event_stream.MEDIA_TYPE not in accept:
        return await run_in_threadpool(_event_page, sessions, caller, job_id, cursor)
    given = last_event_id if last_event_id is not None else cursor.after
    after = number(given, parameter="after")
    await watch.wait_until_done(sessions, caller, job_id, seconds=0)
    still_allowed = event_stream.still_allowed(request)
    return event_stream.respond(watch.stream(sessions, caller, job_id, after=after, still_allowed=still_allowed))


@routes.get("/v1/jobs/{job_id}/checkpoints")
@allow("read")
def list_job_checkpoints(job_id: JobId, caller: Caller, session: InSession) -> Page[CheckpointRead]:
    """The checkpoints from which the job can go on, newest first."""
    rows = service.list_checkpoints(session, caller, job_id)
    shown = [CheckpointRead.model_validate(row, from_attributes=True) for row in rows]
    return page(shown, Cursor(limit=1000))


@routes.get("/v1/jobs/{job_id}/logs")
@allow("read")
def list_job_logs(job_id: JobId, caller: Caller, session: InSession, cursor: Paging) -> Page[LogRead]:
    """What the job's processes wrote, oldest first."""
    job = service.get(session, caller, job_id)
    after = number(cursor.after, parameter="after")
    rows = journal.list_logs(session, job.id, after=after, limit=cursor.limit + 1)
    return page([LogRead.model_validate(row, from_attributes=True) for row in rows], cursor, key="seq")


def etag_of(row: JobRow) -> str:
    """What tells one state of a job from the next."""
    return f'"{row.revision}.{row.num_events}"'


def show(row: JobRow) -> JobRead:
    """A job as clients see it."""
    return JobRead(
        dataset=row.dataset_id or "",
        study=row.study_id,
        model_version=f"{row.model}@{row.model_version}" if row.model_version else None,
        reproduces=row.plan.get("reproduces"),
        reproduction=row.result if row.kind == "reproduce" else None,
        prediction=row.result if row.kind == "predict" else None,
        **{name: row.plan.get(name) for name in PLANNED},
        **{name: getattr(row, name) for name in COPIED},
    )


PLANNED = ("spec", "spec_version", "task", "target", "params", "preparation", "split", "seed")
COPIED = (
    "id",
    "kind",
    "status",
    "model",
    "phase",
    "progress",
    "priority",
    "limits",
    "digests",
    "metrics",
    "error",
    "control",
    "attempt",
    "num_faults",
    "retry_of",
    "trial",
    "created_at",
    "started_at",
    "finished_at",
)


async def after_wait(request: Request, answer: Response, wait: float) -> Response:
    """The answer to a create, with the job as it is when it has ended or the wait is over."""
    if not wait:
        return answer
    job_id = answer.headers["location"].rpartition("/")[2]
    row = await watch.wait_until_done(request.app.state.read_sessions, request.state.principal, job_id, seconds=wait)
    answer.body = show(row).model_dump_json().encode()
    answer.headers["content-length"] = str(len(answer.body))
    return answer


def _event_page(sessions: Any, caller: Caller, job_id: str, cursor: Cursor) -> Page[EventRead]:
    with sessions.begin() as session:
        job = service.get(session, caller, job_id)
        after = number(cursor.after, parameter="after")
        rows = journal.list_events(session, job.id, after=after, limit=cursor.limit + 1)
        return page([EventRead.model_validate(row, from_attributes=True) for row in rows], cursor, key="seq")
