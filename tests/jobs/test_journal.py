"""What a job leaves behind: events without gaps, checkpoints, metrics, and the data set it learned from."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.database import Sessions
from app.ids import new_id
from app.jobs import journal, queue
from app.tables import CheckpointRow, DatasetRow, JobEventRow
from tests.jobs.rows import Insert, claim


def test_events_are_numbered_without_gaps_by_many_writers(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()

    def write() -> None:
        for _ in range(10):
            with sessions.begin() as session:
                journal.append(session, job_id, [journal.event("message", "a"), journal.event("message", "b")])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions.begin() as session:
        numbers = session.scalars(select(JobEventRow.seq).where(JobEventRow.job_id == job_id)).all()
    assert sorted(numbers) == list(range(1, 82))


def test_a_write_that_fails_leaves_no_gap_in_the_events(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    with pytest.raises(RuntimeError), sessions.begin() as session:
        journal.append(session, job_id, [journal.event("message", "lost")])
        raise RuntimeError
    with sessions.begin() as session:
        journal.append(session, job_id, [journal.event("message", "kept")])
    with sessions.begin() as session:
        events = journal.list_events(session, job_id, after=0, limit=10)
    assert [(event.seq, event.message) for event in events] == [(1, "Queued."), (2, "kept")]


def test_only_the_newest_checkpoints_are_kept(sessions: Sessions, insert: Insert) -> None:
    job_id = insert()
    lease = claim(sessions)
    for step in (10, 20, 30, 30):
        row = CheckpointRow(
            id=new_id("ckpt"),
            job_id=job_id,
            lease_epoch=lease.epoch,
            epoch=1,
            step=step,
            sha256="0" * 64,
            size_bytes=1,
            state={},
        )
        with sessions.begin() as session:
            queue.save_checkpoint(session, lease, row)
    with sessions.begin() as session:
        steps = session.scalars(select(CheckpointRow.step).order_by(CheckpointRow.step)).all()
        newest = journal.newest_checkpoint(session, job_id)
    assert steps == [20, 30]
    assert newest is not None
    assert newest.step == 30


def test_a_data_set_in_the_record_of_a_job_cannot_vanish(sessions: Sessions, insert: Insert, project: str) -> None:
    with sessions.begin() as session:
        session.add(
            DatasetRow(
                id="ds_1",
                project_id=project,
                name="d",
                version=1,
                status="ready",
                format="csv",
                source={},
                sha256="0" * 64,
                size_bytes=1,
                parquet_sha256="0" * 64,
                parquet_size_bytes=1,
                num_rows=1,
                columns=[],
                profile={},
            )
        )
    insert(dataset_id="ds_1")
    with pytest.raises(DBAPIError), sessions.begin() as session:
        session.delete(session.get_one(DatasetRow, "ds_1"))
