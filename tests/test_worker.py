"""The worker's decisions: which leases have expired, what may be swept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts import service as accounts
from app.database import Sessions
from app.jobs.lease import Lease
from app.settings import Settings
from app.storage import Storage
from app.tables import DatasetRow
from app.worker import Reaper, Worker

LEASE = Lease("job_1", 3)


def test_a_lease_expires_when_its_counter_stands_still_long_enough() -> None:
    reaper = Reaper(10)
    looks = [reaper.silent([(LEASE, 7)], now) for now in (0, 4, 8, 12)]
    assert looks == [[], [], [], [(LEASE, 7)]]


def test_a_moving_counter_never_expires() -> None:
    reaper = Reaper(10)
    assert not any(reaper.silent([(LEASE, seq)], seq * 9.0) for seq in range(20))


def test_an_observer_that_slept_does_not_take_the_job_at_its_first_look_back() -> None:
    reaper = Reaper(10)
    reaper.silent([(LEASE, 7)], 0)
    assert reaper.silent([(LEASE, 7)], 3600) == []
    assert reaper.silent([(LEASE, 7)], 3601) == [(LEASE, 7)]


def test_a_new_epoch_is_a_new_lease() -> None:
    reaper = Reaper(10)
    for now in (0, 5):
        reaper.silent([(LEASE, 7)], now)
    assert reaper.silent([(Lease("job_1", 4), 7)], 11) == []


@given(st.lists(st.tuples(st.floats(0.01, 20), st.booleans()), max_size=60))
def test_only_a_counter_that_stood_still_for_the_whole_lease_expires(steps: list[tuple[float, bool]]) -> None:
    reaper, now, seq, moved_at, reads = Reaper(10), 0.0, 0, 0.0, 0
    for seconds, moves in steps:
        now += seconds
        if moves or reads == 0:
            seq, moved_at, reads = seq + 1, now, 0
        reads += 1
        expired = reaper.silent([(LEASE, seq)], now) != []
        assert expired == (now - moved_at >= 10 and reads >= 3)


def test_the_launcher_keeps_arrow_from_importing_pandas_and_nobody_else() -> None:
    code = (
        "import sys; from app.jobs.executors import child; child.preload()\n"
        "import pyarrow; pyarrow.array(['a', 'b'])\n"
        "assert 'pandas' not in sys.modules\n"
        "import pandas; pandas.Series([1])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    """A worker that does not run."""
    worker = Worker(settings)
    yield worker
    worker.engine.dispose()


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_sweep_removes_old_leftovers_and_nothing_else(
    worker: Worker, settings: Settings, sessions: Sessions
) -> None:
    storage = Storage(settings.data_dir)
    used, table, orphan, young = (storage.put(text.encode()) for text in ("used", "table", "orphan", "young"))
    for blob in (used, table, orphan):
        _age(storage.path(blob.sha256), settings.grace_seconds + 60)
    attempts = settings.data_dir / "attempts"
    (attempts / "job_gone-1").mkdir()
    _age(attempts / "job_gone-1", settings.grace_seconds + 60)
    (attempts / "job_new-1").mkdir()
    with sessions.begin() as session:
        session.add(
            DatasetRow(
                id="ds_1",
                project_id=accounts.open_project(session, "default").id,
                name="d",
                version=1,
                status="ready",
                format="csv",
                source={},
                sha256=used.sha256,
                size_bytes=4,
                parquet_sha256=table.sha256,
                parquet_size_bytes=5,
                num_rows=1,
                columns=[],
                profile={},
            )
        )
    worker._sweep()
    kept = {path.name for path in storage.blobs.glob("??/*")}
    assert kept == {used.sha256, table.sha256, young.sha256}
    assert [path.name for path in attempts.iterdir()] == ["job_new-1"]
