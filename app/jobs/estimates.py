"""An estimate asked for by a request: queued as a job that nobody lists, waited for without a session, forgotten."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.column_types import now
from app.database import Sessions
from app.errors import Invalid
from app.jobs import queue, submission
from app.principal import Principal
from app.tables import JobRow

# A worker that is there claims at once; an estimate takes about two seconds, and a suggestion a few more.
CLAIM_SECONDS, ANSWER_SECONDS, LOOK_SECONDS = 2.0, 20.0, 0.05
MOST_WAITING = 8
# With these codes a job fails of something that says nothing about the training.
OTHER_CAUSES = frozenset({"internal", "infrastructure-fault", "wall-time-exceeded", "out-of-memory", "cancelled"})

Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What to estimate."""

    dataset_id: str
    plan: dict[str, Any]
    limits: dict[str, Any]


async def estimate(sessions: Sessions, read_sessions: Sessions, principal: Principal, asked: Asked) -> Answer:
    """`timing` and `reason`, one of which is None. Raises: Invalid for a training that would fail or does not fit."""
    job_id = await run_in_threadpool(_queue, sessions, principal, asked)
    if job_id is None:
        return untimed("Too many estimates are being made; try again in a few seconds.")
    try:
        job = await _wait(read_sessions, job_id)
    finally:
        await run_in_threadpool(_forget, sessions, job_id)
    if job is None:
        return untimed("The estimate was interrupted.")
    if job.status == "queued":
        return untimed(f"No worker took it up within {CLAIM_SECONDS:g} seconds.")
    if job.status == "failed":
        return _failed(job.error or {})
    if job.status != "succeeded":
        return untimed(f"There was no answer within {ANSWER_SECONDS:g} seconds.")
    result = job.result or {}
    if result["problems"]:
        details = " ".join(f"{each['pointer']}: {each['detail']}" for each in result["problems"])
        raise Invalid(f"{result['reason']} {details}", code="limits-exceeded", errors=result["problems"])
    return {"timing": result["timing"], "reason": result["reason"]}


def untimed(reason: str) -> Answer:
    """The answer without a timing."""
    return {"timing": None, "reason": reason}


def _failed(error: dict[str, Any]) -> Answer:
    if error["code"] in OTHER_CAUSES:
        return untimed(f"The estimate failed: {error['message']}")
    raise Invalid(f"The training would fail: {error['message']}", errors=error["errors"])


def _queue(sessions: Sessions, principal: Principal, asked: Asked) -> str | None:
    mine = (JobRow.project_id == principal.project_id, JobRow.kind == queue.BESIDE)
    with sessions.begin() as session:
        if (
            session.scalars(select(func.count()).where(*mine, JobRow.status.not_in(queue.TERMINAL))).one()
            >= MOST_WAITING
        ):
            return None
        plan = {"training": asked.plan, "limits": asked.limits}
        limits = {"memory_bytes": asked.limits["memory_bytes"], "wall_seconds": ANSWER_SECONDS}
        return submission.insert(
            session, principal, submission.Order(queue.BESIDE, asked.dataset_id, plan, {}, limits)
        ).id


async def _wait(sessions: Sessions, job_id: str) -> JobRow | None:
    started = time.monotonic()
    while True:
        job = await run_in_threadpool(_look, sessions, job_id)
        limit = CLAIM_SECONDS if job is not None and job.status == "queued" else ANSWER_SECONDS
        if job is None or job.status in queue.TERMINAL or time.monotonic() - started > limit:
            return job
        await asyncio.sleep(LOOK_SECONDS)


def _look(sessions: Sessions, job_id: str) -> JobRow | None:
    with sessions.begin() as session:
        return session.get(JobRow, job_id)


def _forget(sessions: Sessions, job_id: str) -> None:
    with sessions.begin() as session:
        # An attempt that is under way loses its lease with the row, and stops.
        session.execute(delete(JobRow).where(JobRow.id == job_id))


def forget_old(session: Session) -> None:
    """Forget those whose request has gone: nobody waits for them any more."""
    old = now() - timedelta(seconds=2 * ANSWER_SECONDS)
    session.execute(delete(JobRow).where(JobRow.kind == queue.BESIDE, JobRow.created_at < old))
