"""One attempt of one job, whatever its kind: it lives in a thread of the worker and alone writes for its child.

Reports are gathered and stored together once per heartbeat, in the transaction that renews the lease.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.database import Sessions
from app.datasets.process import Report
from app.errors import MaasError, StorageFull
from app.jobs import journal, queue
from app.jobs.executors.local import Launcher, LauncherDied
from app.jobs.lease import Beat, Lease, LeaseLost
from app.settings import Settings
from app.storage import Storage
from app.tables import JobRow

log = logging.getLogger("maas.worker")
FULL_DISK_SECONDS = 5.0
Made = TypeVar("Made")


@dataclass(frozen=True)
class Workplace:
    """What all attempts of one worker share."""

    settings: Settings
    sessions: Sessions
    read_sessions: Sessions
    storage: Storage
    launcher: Launcher
    folder: Path


class Stopped(Exception):
    """Work on tables was asked to stop, or its worker is leaving."""


class Attempt:
    """One attempt of one job, from its claim to its end; each kind of job says what its work is."""

    def __init__(self, place: Workplace, job: JobRow) -> None:
        self.place = place
        self.job = job
        self.lease = Lease(job.id, job.lease_epoch)
        self.folder = place.folder / f"{job.id}-{job.lease_epoch}"
        self.leaving = threading.Event()
        self.report = Beat()
        self.control = job.control
        self.limits = job.limits
        self.last_beat = time.monotonic()
        self._phase: str | None = None

    def work(self) -> None:
        """Do the work and store how it ended."""
        raise NotImplementedError

    def run(self) -> None:
        """Do the work; whatever happens, the job's row says so, or another worker takes the job over."""
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            self.work()
        except LeaseLost:
            log.warning("lost the lease of %s", self.job.id)
        except (LauncherDied, OSError) as error:
            self.fault(f"It could not run: {error}.")
        except StorageFull as error:
            # Somebody may make room; an attempt that begins at once would find none.
            self.leaving.wait(FULL_DISK_SECONDS)
            self.fault(error.detail)
        except MaasError as error:
            self.fail({"code": error.code, "message": error.detail, "pointer": None, "errors": error.errors})
        except SQLAlchemyError:
            log.exception("the database failed %s; its lease will run out", self.job.id)
        except Exception:
            log.exception("a bug in the worker ended an attempt of %s", self.job.id)
            self.fault("The worker failed; its log says why.")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def on_tables(self, make: Callable[[], Made]) -> Made | None:
        """What work on tables makes while `watch` looks on; None when it was asked to stop, which is stored then."""
        try:
            return make()
        except Stopped:
            self.stopped("cancelled" if self.control == "cancel" else "stopped")
            return None

    def watch(self, report: Report | None) -> None:
        """Pass on how far work on tables is. Raises: Stopped when it is asked to end, or the worker is leaving."""
        if report is not None:
            self.hear_of_tables(report)
        self.beat_if_due()
        if self.control in ("cancel", "pause") or self.leaving.is_set():
            raise Stopped

    def hear_of_tables(self, report: Report) -> None:
        """Note a new phase of work on tables."""
        phase = str(report["phase"])
        if phase != self._phase:
            self._phase = self.report.phase = phase
            self.report.events.append(journal.event("phase", f"Phase: {phase}.", phase=phase))

    def beat_if_due(self) -> None:
        """Store what was reported, once a heartbeat and at every new phase."""
        if self.report.phase is not None or time.monotonic() - self.last_beat >= self.place.settings.heartbeat_seconds:
            self.beat()

    def beat(self) -> None:
        """Store what was reported; learn what the user asks for."""
        now = time.monotonic()
        try:
            with self.place.sessions.begin() as session:
                self.control = queue.beat(session, self.lease, self.report)
        except SQLAlchemyError:
            # The database may come back; until then what was reported is kept. After that the lease is void.
            log.exception("a heartbeat of %s failed", self.job.id)
            if now - self.last_beat > self.place.settings.lease_seconds:
                raise
            return
        self.report, self.last_beat = Beat(), now

    def look(self) -> None:
        """Learn what the user asks for, between two heartbeats."""
        try:
            with self.place.read_sessions.begin() as session:
                asked = select(JobRow.control, JobRow.limits).where(JobRow.id == self.job.id)
                self.control, self.limits = session.execute(asked).one()._tuple()
        except SQLAlchemyError:
            log.warning("the database did not say what is asked of %s", self.job.id)

    def stopped(self, reason: str) -> None:
        """The work stopped because it was asked to, or because the worker is leaving."""
        with self.place.sessions.begin() as session:
            control = queue.beat(session, self.lease, self.report)
            if reason == "cancelled" or control == "cancel":
                queue.stop(session, self.lease, "cancelled")
            elif control == "pause":
                queue.stop(session, self.lease, "paused")
            else:
                queue.release(session, self.lease)

    def fail(self, error: dict[str, Any]) -> None:
        """The request or its data make it impossible."""
        with self.place.sessions.begin() as session:
            queue.beat(session, self.lease, self.report)
            queue.fail(session, self.lease, error)

    def fault(self, reason: str) -> None:
        """Something that is not the request's doing ended the attempt."""
        try:
            with self.place.sessions.begin() as session:
                queue.beat(session, self.lease, self.report)
                queue.fault(session, self.lease, reason, max_attempts=self.place.settings.max_attempts)
        except LeaseLost:
            log.warning("lost the lease of %s", self.job.id)
