"""The worker: claims jobs, watches over their children, takes over from workers that fell silent, repeats."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError

from app import database, garbage
from app.column_types import now
from app.datasets.asking.exports import Exports
from app.jobs import estimates, queue
from app.jobs.attempt import Attempt, Workplace
from app.jobs.estimating import Estimating
from app.jobs.evaluating import Evaluating
from app.jobs.executors.local import Launcher
from app.jobs.ingesting import Ingesting
from app.jobs.lease import Beat, Lease, LeaseLost
from app.jobs.predicting import Predicting
from app.jobs.reproducing import Reproducing
from app.jobs.training import Training
from app.settings import Settings
from app.storage import Storage
from app.studies.steward import Steward
from app.tables import IdempotencyRow, JobRow
from app.uploads.place import Place

log = logging.getLogger("maas.worker")
LEAVING_SECONDS = 20.0
READS_BEFORE_EXPIRY = 3
KINDS: dict[str, type[Attempt]] = {
    "train": Training,
    "ingest": Ingesting,
    "reproduce": Reproducing,
    "evaluate": Evaluating,
    "estimate": Estimating,
    "predict": Predicting,
}


class Worker:
    """Runs up to `worker_slots` jobs at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.leaving = threading.Event()
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.engine = database.connect(settings.url)
        database.migrate(self.engine)
        self._sessions = database.sessions(self.engine)
        self._read_sessions = database.sessions(self.engine, read_only=True)
        self._storage = Storage(settings.data_dir)
        self._exports = Exports(settings.data_dir / "exports", settings.export_cache_bytes)
        self._launcher = Launcher(settings.data_dir / "launcher.log")
        folder = settings.data_dir / "attempts"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._place = Workplace(
            settings, self._sessions, self._read_sessions, self._storage, self._launcher, folder.absolute()
        )
        self._attempts: dict[threading.Thread, Attempt] = {}
        self._reaper = Reaper(settings.lease_seconds)
        steward = Steward(settings, self._sessions, self._read_sessions)
        self._steward = threading.Thread(target=steward.run, args=(self.leaving,), name="steward")

    def run(self) -> None:
        """Work until `leaving` is set, then give running jobs back with a fresh checkpoint."""
        next_look = next_sweep = 0.0
        self._steward.start()
        while not self.leaving.is_set():
            started = time.monotonic()
            try:
                if started >= next_look:
                    next_look = started + self.settings.heartbeat_seconds
                    self._launcher.warm_up()
                    self._renew_quiet_leases()
                    self._take_back_silent_jobs()
                self._start_jobs()
                if started >= next_sweep:
                    next_sweep = started + self.settings.sweep_seconds
                    self._sweep()
            except SQLAlchemyError:
                log.exception("the database does not answer; trying again")
                self.leaving.wait(1.0)
            self.leaving.wait(self.settings.poll_seconds)
        self._leave()

    def _start_jobs(self) -> None:
        for thread in [thread for thread in self._attempts if not thread.is_alive()]:
            del self._attempts[thread]
        # Without a launcher jobs stay in the queue, where another worker may take them.
        for beside, num_slots in ((True, 1), (False, self.settings.worker_slots)):
            while self._launcher.ready.is_set() and self._num_running(beside) < num_slots and self._start_one(beside):
                continue

    def _num_running(self, beside: bool) -> int:
        return sum(isinstance(attempt, Estimating) == beside for attempt in self._attempts.values())

    def _start_one(self, beside: bool) -> bool:
        with self._read_sessions.begin() as session:
            if not queue.has_queued(session, beside=beside):
                return False
        with self._sessions.begin() as session:
            job = queue.claim(session, self.name, beside=beside)
        if job is not None:
            attempt = KINDS[job.kind](self._place, job)
            thread = threading.Thread(target=attempt.run, name=job.id)
            self._attempts[thread] = attempt
            thread.start()
        return job is not None

    def _renew_quiet_leases(self) -> None:
        # An attempt beats when it reports; while it reads or stores large files its worker beats for it.
        quiet_since = time.monotonic() - 2 * self.settings.heartbeat_seconds
        for attempt in self._attempts.values():
            if attempt.last_beat < quiet_since:
                with contextlib.suppress(LeaseLost), self._sessions.begin() as session:
                    queue.beat(session, attempt.lease, Beat())

    def _take_back_silent_jobs(self) -> None:
        with self._read_sessions.begin() as session:
            leases = queue.running(session)
        for lease, heartbeat_seq in self._reaper.silent(leases, time.monotonic()):
            with self._sessions.begin() as session:
                if queue.take_back(session, lease, heartbeat_seq, max_attempts=self.settings.max_attempts):
                    log.warning("took %s back from a silent worker", lease.job_id)

    def _sweep(self) -> None:
        grace_seconds = self.settings.grace_seconds
        with self._sessions.begin() as session:
            expired = now() - timedelta(seconds=self.settings.idempotency_seconds)
            session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < expired))
            estimates.forget_old(session)
            garbage.forget_old_predictions(session)
        with self._read_sessions.begin() as session:
            referenced = garbage.referenced(session)
            live = {
                f"{job_id}-{epoch}"
                for job_id, epoch in session.execute(
                    select(JobRow.id, JobRow.lease_epoch).where(JobRow.status == "running")
                )
            }
        removed = self._storage.sweep(referenced, grace_seconds=grace_seconds)
        removed += self._exports.sweep(referenced)
        uploads = Place(self.settings, self._sessions, self._read_sessions, self._storage)
        removed += uploads.sweep(grace_seconds=grace_seconds)
        removed += _remove_old_attempts(self._place.folder, live, grace_seconds)
        if removed:
            log.info("removed %d leftovers", removed)

    def _leave(self) -> None:
        self._steward.join(LEAVING_SECONDS)
        for attempt in self._attempts.values():
            attempt.leaving.set()
        deadline = time.monotonic() + LEAVING_SECONDS
        for thread in self._attempts:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._launcher.close()
        for thread in self._attempts:
            thread.join(5.0)


class Reaper:
    """Decides which leases have expired, by its own clock: no other machine's time takes part."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._seen: dict[Lease, tuple[int, float, int]] = {}

    def silent(self, leases: Sequence[tuple[Lease, int]], now_seconds: float) -> list[tuple[Lease, int]]:
        """The leases whose counter has stood still for long enough, over enough successful reads."""
        seen: dict[Lease, tuple[int, float, int]] = {}
        for lease, seq in leases:
            before = self._seen.get(lease)
            moved = before is None or before[0] != seq
            seen[lease] = (seq, now_seconds, 1) if moved or before is None else (seq, before[1], before[2] + 1)
        self._seen = seen
        return [
            (lease, seq)
            for lease, (seq, since, num_reads) in seen.items()
            if now_seconds - since >= self._lease_seconds and num_reads >= READS_BEFORE_EXPIRY
        ]


def main(settings: Settings, *, with_parent: bool = False) -> None:
    """Run a worker until SIGTERM or SIGINT; `with_parent`: or until standard input ends, as it does with its parent."""
    worker = Worker(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.leaving.set())
    if with_parent:
        threading.Thread(target=_wait_for_parent, args=(worker,), daemon=True).start()
    worker.run()


def _wait_for_parent(worker: Worker) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    worker.leaving.set()


def _remove_old_attempts(folder: Path, live: set[str], grace_seconds: float) -> int:
    old = [
        path
        for path in folder.iterdir()
        if path.name not in live and time.time() - path.stat().st_mtime > grace_seconds
    ]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)
