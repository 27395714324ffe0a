"""The queue: who gets a job, who may write for it, what becomes of it when its worker dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from app.database import Sessions
from app.errors import Conflict
from app.ids import new_id
from app.jobs import queue
from app.jobs.lease import Beat, Lease, LeaseLost
from app.principal import Principal
from app.tables import CheckpointRow, JobRow
from tests.jobs.rows import Insert, claim, read


def test_the_highest_priority_runs_first_then_the_oldest(sessions: Sessions, insert: Insert) -> None:
    old, urgent, young = insert(), insert(priority=5), insert()
    assert [claim(sessions).job_id for _ in range(3)] == [urgent, old, young]


def test_an_empty_queue_gives_nothing(sessions: Sessions, insert: Insert) -> None:
    with sessions.begin() as session:
        assert not queue.has_queued(session)
        assert queue.claim(session, "w") is None


def test_many_workers_at_once_get_every_job_exactly_once(sessions: Sessions, insert: Insert) -> None:
    jobs = {insert() for _ in range(40)}
    claimed: list[str] = []

    def work() -> None:
        while True:
            with sessions.begin() as session:
                job = queue.claim(session, threading.current_thread().name)
            if job is None:
                return
            claimed.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(jobs)


def test_each_claim_raises_the_epoch_and_the_attempt(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    first = claim(sessions)
    with sessions.begin() as session:
        queue.release(session, first)
    second = claim(sessions)
    assert second.epoch == first.epoch + 1
    assert read(sessions, job_id).attempt == 2
    assert read(sessions, job_id).num_faults == 0


def late_writes(lease: Lease, project: str) -> dict[str, Callable[[Any], Any]]:
    """Everything that an attempt can write."""
    checkpoint = CheckpointRow(
        id=new_id("ckpt"), job_id=lease.job_id, lease_epoch=1, epoch=1, step=9, sha256="0" * 64, size_bytes=1, state={}
    )
    principal = Principal(project, "", frozenset())
    return {
        "beat": lambda s: queue.beat(s, lease, Beat(progress={"late": True}, rewind_to=0)),
        "checkpoint": lambda s: queue.save_checkpoint(s, lease, checkpoint),
        "succeed": lambda s: queue.succeed(s, lease, principal, version=1, metrics={}),
        "fail": lambda s: queue.fail(s, lease, {"code": "x", "message": "late", "pointer": None}),
        "stop": lambda s: queue.stop(s, lease, "paused"),
        "release": lambda s: queue.release(s, lease),
        "fault": lambda s: queue.fault(s, lease, "late", max_attempts=3),
    }


@pytest.mark.parametrize("name", list(late_writes(Lease("x", 1), "p")))
def test_a_worker_that_lost_its_lease_writes_nothing(
    sessions: Sessions, insert: Insert, project: str, name: str
) -> None:
    job_id = insert()
    zombie = claim(sessions)
    with sessions.begin() as session:
        assert queue.take_back(session, zombie, read(sessions, job_id).heartbeat_seq, max_attempts=3)
    claim(sessions, "other")
    before = read(sessions, job_id)
    with pytest.raises(LeaseLost), sessions.begin() as session:
        late_writes(zombie, project)[name](session)
    after = read(sessions, job_id)
    columns = [column.key for column in JobRow.__table__.columns]
    assert [getattr(after, name) for name in columns] == [getattr(before, name) for name in columns]


def test_a_heartbeat_that_moved_keeps_the_lease(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    lease = claim(sessions)
    seen = read(sessions, job_id).heartbeat_seq
    with sessions.begin() as session:
        queue.beat(session, lease, Beat())
    with sessions.begin() as session:
        assert not queue.take_back(session, lease, seen, max_attempts=3)
    assert read(sessions, job_id).status == "running"


def test_faults_are_tried_again_up_to_the_limit(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    for expected in ("queued", "queued", "failed"):
        with sessions.begin() as session:
            queue.fault(session, _claim_in(session), "it died.", max_attempts=3)
        assert read(sessions, job_id).status == expected
    error = read(sessions, job_id).error
    assert error is not None
    assert error["code"] == "infrastructure-fault"


def _claim_in(session: Any) -> Lease:
    job = queue.claim(session, "w")
    assert job is not None
    return Lease(job.id, job.lease_epoch)


def test_bad_data_is_not_tried_again(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    with sessions.begin() as session:
        queue.fail(session, _claim_in(session), {"code": "no-inputs", "message": "bad", "pointer": "/target"})
    job = read(sessions, job_id)
    assert (job.status, job.num_faults) == ("failed", 0)


@pytest.mark.parametrize(
    ("control", "status"), [("cancel", "cancelled"), ("pause", "paused"), ("finish", "queued"), (None, "queued")]
)
def test_what_was_asked_of_a_lost_attempt_still_holds(
    sessions: Sessions, insert: Insert, control: str | None, status: str
) -> None:
    job_id = insert()
    lease = claim(sessions)
    if control:
        with sessions.begin() as session:
            {"cancel": queue.cancel, "pause": queue.pause, "finish": queue.finish}[control](
                session, session.get_one(JobRow, job_id)
            )
    with sessions.begin() as session:
        queue.fault(session, lease, "it died.", max_attempts=3)
    job = read(sessions, job_id)
    assert job.status == status
    assert job.control == ("finish" if control == "finish" else None)


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "finish"])
@pytest.mark.parametrize("ending", ["succeeded", "failed", "cancelled"])
def test_an_ended_job_takes_no_orders(sessions: Sessions, insert: Insert, action: str, ending: str) -> None:
    job_id = insert()
    with sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(status=ending))
    with pytest.raises(Conflict), sessions.begin() as session:
        getattr(queue, action)(session, session.get_one(JobRow, job_id))


@pytest.mark.parametrize("ending", ["succeeded", "failed", "cancelled"])
def test_the_database_itself_keeps_an_ended_job_ended(sessions: Sessions, insert: Insert, ending: str) -> None:
    job_id = insert()
    with sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(status=ending))
    with pytest.raises(DBAPIError, match="keeps its status"), sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(status="queued"))


def test_pausing_and_resuming_a_queued_job_keeps_it_out_of_the_queue(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    with sessions.begin() as session:
        queue.pause(session, session.get_one(JobRow, job_id))
    with sessions.begin() as session:
        assert queue.claim(session, "w") is None
    with sessions.begin() as session:
        queue.resume(session, session.get_one(JobRow, job_id))
    assert claim(sessions).job_id == job_id


def test_two_orders_at_the_same_moment_leave_one_winner(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    with sessions.begin() as session:
        stale = session.get_one(JobRow, job_id)
    claim(sessions)
    with pytest.raises(Conflict, match="same moment"), sessions.begin() as session:
        queue.pause(session, session.merge(stale, load=False))
