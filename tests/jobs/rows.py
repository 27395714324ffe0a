"""Jobs claimed and read in tests of the queue."""

from __future__ import annotations

from collections.abc import Callable

from app.database import Sessions
from app.jobs import queue
from app.jobs.lease import Lease
from app.tables import JobRow

Insert = Callable[..., str]


def claim(sessions: Sessions, worker: str = "w") -> Lease:
    """A lease on the first job."""
    with sessions.begin() as session:
        job = queue.claim(session, worker)
        assert job is not None
        return Lease(job.id, job.lease_epoch)


def read(sessions: Sessions, job_id: str) -> JobRow:
    """The job's row as it is now."""
    with sessions.begin() as session:
        return session.get_one(JobRow, job_id)
