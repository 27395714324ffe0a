"""A job watched from outside, by polls that are held and as a stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from app import following
from app.database import Sessions
from app.following import Look
from app.jobs import journal, queue, service
from app.jobs.schemas import EventRead
from app.principal import Principal
from app.tables import JobRow


async def wait_until_done(sessions: Sessions, principal: Principal, job_id: str, *, seconds: float) -> JobRow:
    """The job once it has ended, or as it is after `seconds`. Raises: NotFound."""

    def read() -> JobRow:
        with sessions.begin() as session:
            return service.get(session, principal, job_id)

    return await following.wait_until(read, lambda job: job.status in queue.TERMINAL, seconds=seconds)


def stream(
    sessions: Sessions,
    principal: Principal,
    job_id: str,
    *,
    after: int,
    still_allowed: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """The job's events after a number as server-sent events, with progress in between."""

    def look(after: int) -> Look:
        with sessions.begin() as session:
            # The job first: an event that comes between the two reads is then one too many, never one too few.
            job = service.get(session, principal, job_id)
            rows = journal.list_events(session, job_id, after=after, limit=following.PAGE)
            events = [EventRead.model_validate(row, from_attributes=True) for row in rows]
            progress = job.progress | {"phase": job.phase} if job.progress else {}
            return Look(job.id, job.status, job.revision, job.status in queue.TERMINAL, progress, events)

    return following.stream(look, after=after, still_allowed=still_allowed)
