"""A job watched from outside: held polls and server-sent events, both replayed from the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
from starlette.concurrency import run_in_threadpool

from app.database import Sessions
from app.jobs import journal, queue, service
from app.jobs.schemas import EventRead
from app.principal import Principal
from app.tables import JobRow

POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 15.0
PAGE = 500


async def wait_until_done(sessions: Sessions, principal: Principal, job_id: str, *, seconds: float) -> JobRow:
    """The job once it has ended, or as it is after `seconds`. Raises: NotFound."""
    deadline = time.monotonic() + seconds
    while True:
        job = await run_in_threadpool(_read, sessions, principal, job_id)
        left = deadline - time.monotonic()
        if job.status in queue.TERMINAL or left <= 0:
            return job
        await asyncio.sleep(min(POLL_SECONDS, left))


async def stream(
    sessions: Sessions,
    principal: Principal,
    job_id: str,
    *,
    after: int,
    still_allowed: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """The job's events after a number as server-sent events, then a last one named `done`.

    Progress is sent as events named `progress` without an id, as they are not part of the numbered record.
    """
    yield b"retry: 1000\n\n"
    last_sent, last_revision = time.monotonic(), -1
    while await still_allowed():
        job, events = await run_in_threadpool(_next, sessions, principal, job_id, after)
        for event in events:
            yield _message(event.type, event.model_dump_json().encode(), event.seq)
            after = event.seq
        if job.revision != last_revision and job.progress:
            yield _message("progress", orjson.dumps(job.progress | {"phase": job.phase}))
        if events or job.revision != last_revision:
            last_sent, last_revision = time.monotonic(), job.revision
        if len(events) == PAGE:
            continue
        if job.status in queue.TERMINAL:
            yield _message("done", orjson.dumps({"id": job.id, "status": job.status}))
            return
        if time.monotonic() - last_sent > HEARTBEAT_SECONDS:
            yield b": still here\n\n"
            last_sent = time.monotonic()
        await asyncio.sleep(POLL_SECONDS)


def _read(sessions: Sessions, principal: Principal, job_id: str) -> JobRow:
    with sessions.begin() as session:
        return service.get(session, principal, job_id)


def _next(sessions: Sessions, principal: Principal, job_id: str, after: int) -> tuple[JobRow, list[EventRead]]:
    with sessions.begin() as session:
        # The job first: an event that comes between the two reads is then one too many, never one too few.
        job = service.get(session, principal, job_id)
        rows = journal.list_events(session, job_id, after=after, limit=PAGE)
        return job, [EventRead.model_validate(row, from_attributes=True) for row in rows]


def _message(name: str, data: bytes, number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + data + b"\n\n"
