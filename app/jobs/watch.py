"""A job watched from outside, by polls that are held and as a stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sqlalchemy.orm import Session

from app import following
from app.database import Sessions
from app.following import Look
from app.jobs import curves, journal, queue, service
from app.jobs.curve_schemas import show_series
from app.jobs.curves import Kind
from app.jobs.schemas import EventRead
from app.principal import Principal
from app.tables import JobRow

RESOLUTION = 500


class News:
    """The points of a job's curves that one client has not seen yet.

    The first message holds the curves so far, so a client that comes back needs no number to go on from; another one
    that replaces all comes when a new attempt has gone back to a checkpoint. Those in between hold new points only.
    """

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._revision = -1
        self._attempt: int | None = None
        self._after: dict[Kind, int] = {}

    def look(self, session: Session, job: JobRow) -> list[tuple[str, dict[str, Any]]]:
        """What to send, if anything."""
        # An attempt that starts has yet to forget what it is going to tell again.
        if self._revision == job.revision or job.phase == "starting":
            return []
        self._revision = job.revision
        is_whole = self._attempt != job.attempt
        points = curves.read(session, self._job_id, after={} if is_whole else self._after)
        if not points and (self._attempt is None or not is_whole):
            return []
        self._attempt = job.attempt
        self._after = ({} if is_whole else self._after) | {point.kind: point.position for point in points}
        made = curves.series(points, axis="step", resolution=RESOLUTION)
        return [("metrics", {"replace": is_whole, "series": [show_series(each).model_dump() for each in made]})]


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
    """The job's events after a number as server-sent events, with progress and new points of curves in between."""
    news = News(job_id)

    def look(after: int) -> Look:
        with sessions.begin() as session:
            # The job first: an event that comes between the two reads is then one too many, never one too few.
            job = service.get(session, principal, job_id)
            rows = journal.list_events(session, job_id, after=after, limit=following.PAGE)
            events = [EventRead.model_validate(row, from_attributes=True) for row in rows]
            progress = job.progress | {"phase": job.phase} if job.progress else {}
            return Look(
                job.id,
                job.status,
                job.revision,
                job.status in queue.TERMINAL,
                progress,
                events,
                news.look(session, job),
            )

    return following.stream(look, after=after, still_allowed=still_allowed)
