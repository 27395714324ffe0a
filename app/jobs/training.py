"""What a claimed training job does: the data set goes in, a child learns, a model version comes out.

One `Attempt` lives in one thread of the worker. It alone writes to the database for its child: reports are
gathered and stored together once per heartbeat, in the transaction that renews the lease.
"""

from __future__ import annotations

import json
import logging
import selectors
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.database import Sessions
from app.datasets import service as datasets
from app.errors import MaasError
from app.ids import new_id
from app.jobs import journal, queue
from app.jobs.executors import child as child_side
from app.jobs.executors.local import Child, Launcher, LauncherDied
from app.jobs.executors.streams import Lines, Text
from app.jobs.queue import Beat, Lease, LeaseLost
from app.models import service as models
from app.principal import Principal
from app.settings import Settings
from app.storage import Storage
from app.tables import CheckpointRow, JobRow

log = logging.getLogger("maas.worker")
MAX_LOG_BYTES = 1 << 20
WALL_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Workplace:
    """What all attempts of one worker share."""

    settings: Settings
    sessions: Sessions
    storage: Storage
    launcher: Launcher
    folder: Path


class Attempt:
    """One attempt of one job, from its claim to its end."""

    def __init__(self, place: Workplace, job: JobRow) -> None:
        self.place = place
        self.job = job
        self.lease = Lease(job.id, job.lease_epoch)
        self.folder = place.folder / f"{job.id}-{job.lease_epoch}"
        self.leaving = threading.Event()
        self._report = Beat()
        self._end: dict[str, Any] | None = None
        self._control = job.control
        self._asked: str | None = None
        self._num_log_bytes = 0
        self.last_beat = time.monotonic()

    def run(self) -> None:
        """Do the work; whatever happens, the job's row says so, or another worker takes the job over."""
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            self._prepare()
            self._supervise(self.place.launcher.start(self.folder))
        except LeaseLost:
            log.warning("lost the lease of %s", self.job.id)
        except (LauncherDied, OSError) as error:
            self._fault(f"It could not run: {error}.")
        except MaasError as error:
            self._fail({"code": error.code, "message": error.detail, "pointer": None})
        except SQLAlchemyError:
            log.exception("the database failed %s; its lease will run out", self.job.id)
        except Exception:
            log.exception("a bug in the worker ended an attempt of %s", self.job.id)
            self._fault("The worker failed; its log says why.")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self) -> None:
        place, job = self.place, self.job
        with place.sessions.begin() as session:
            dataset = datasets.get_by_id(session, job.dataset_id or "")
            checkpoint = journal.newest_checkpoint(session, job.id)
            queue.rewind_metrics(session, self.lease, checkpoint.step if checkpoint else -1)
        data = place.storage.verified_path(dataset.parquet_sha256)
        resume = None
        if checkpoint is not None:
            state = place.storage.verified_path(checkpoint.sha256)
            resume = {"path": str(state), "state": checkpoint.state}
        request = {
            **job.plan,
            "dataset": {
                "path": str(data),
                "columns": dataset.columns,
                "num_rows": dataset.num_rows,
                "sha256": dataset.parquet_sha256,
            },
            "threads": 1,
            "checkpoint_seconds": place.settings.checkpoint_seconds,
            "wall_seconds": self._seconds_left(),
            "resume": resume,
        }
        envelope = {
            "request": request,
            "readable": [str(data), *([resume["path"]] if resume else [])],
            "limits": {"memory_bytes": job.limits["memory_bytes"], "file_size_bytes": place.settings.max_decoded_bytes},
            "sandbox": place.settings.sandbox,
        }
        (self.folder / child_side.REQUEST_FILE).write_bytes(json.dumps(envelope).encode())

    def _seconds_left(self) -> float:
        spent = float(self.job.progress.get("seconds_elapsed", 0.0))
        return max(1.0, float(self.job.limits["wall_seconds"]) - spent)

    def _supervise(self, child: Child) -> None:
        deadline = time.monotonic() + self._seconds_left() + WALL_GRACE_SECONDS
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(child.report_fd, selectors.EVENT_READ, Lines(self._hear))
                selector.register(child.log_fd, selectors.EVENT_READ, Text(self._log))
                while selector.get_map():
                    for key, _ in selector.select(self.place.settings.heartbeat_seconds / 4):
                        if not key.data(key.fd):
                            selector.unregister(key.fd)
                    self._beat_if_due()
                    self._pass_on_control(child)
                    if time.monotonic() > deadline:
                        self._end = _error("wall-time-exceeded", "The job did not stop at its wall-clock limit.")
                        child.kill()
            child.exited.wait()
        finally:
            child.kill()
            child.close()
        self._conclude(child.status or 0)

    def _pass_on_control(self, child: Child) -> None:
        # A worker that shuts down pauses its children for the sake of a checkpoint, then gives the job back.
        word = self._control or ("pause" if self.leaving.is_set() else None)
        if word and self._asked not in (word, "cancel"):
            self._asked = word
            child.ask(word)

    def _beat_if_due(self) -> None:
        now = time.monotonic()
        changed_phase = self._report.phase is not None
        if now - self.last_beat < self.place.settings.heartbeat_seconds and not changed_phase:
            return
        try:
            with self.place.sessions.begin() as session:
                self._control = queue.beat(session, self.lease, self._report)
        except SQLAlchemyError:
            # The database may come back; until then what was reported is kept. After that the lease is void.
            log.exception("a heartbeat of %s failed", self.job.id)
            if now - self.last_beat > self.place.settings.lease_seconds:
                raise
            return
        self._report, self.last_beat = Beat(), now

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.pop("type")
        if kind == "progress":
            self._report.progress = message
        elif kind == "phase":
            self._report.phase = message["phase"]
            self._report.events.append(journal.event("phase", f"Phase: {message['phase']}.", phase=message["phase"]))
        elif kind == "metrics":
            self._report.metrics.append(message)
        elif kind == "event":
            self._report.events.append(
                journal.event("message", message["message"], message["level"], **message["data"])
            )
        elif kind == "checkpoint":
            self._save_checkpoint(message)
        elif kind == "sandbox":
            self._report.events.append(journal.event("sandbox", "Confined by the kernel.", layers=message["layers"]))
        else:
            self._end = {"type": kind, **message}

    def _log(self, text: str) -> None:
        if self._num_log_bytes < MAX_LOG_BYTES:
            self._num_log_bytes += len(text)
            self._report.logs.append(text.replace("\x00", "\ufffd"))

    def _save_checkpoint(self, message: dict[str, Any]) -> None:
        path = self._inside(message["path"])
        blob = self.place.storage.put_file(path)
        path.unlink()
        if blob.sha256 != message["sha256"]:
            raise OSError("a checkpoint changed between its writing and its storing")
        row = CheckpointRow(
            id=new_id("ckpt"),
            job_id=self.job.id,
            lease_epoch=self.lease.epoch,
            epoch=message["epoch"],
            step=message["step"],
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
            state=message["state"],
        )
        with self.place.sessions.begin() as session:
            # The metrics up to this step belong to it: an attempt that goes on from here reports only later ones.
            self._control = queue.beat(session, self.lease, self._report)
            queue.save_checkpoint(session, self.lease, row)
        self._report, self.last_beat = Beat(), time.monotonic()

    def _inside(self, name: str) -> Path:
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise OSError("a child named a file outside its folder")
        return path

    def _conclude(self, status: int) -> None:
        end = self._end or {}
        if end.get("type") == "result":
            self._succeed(end)
        elif end.get("type") == "stopped":
            self._stopped(end["reason"])
        elif end.get("type") == "error":
            self._fail({name: end.get(name) for name in ("code", "message", "pointer")})
        elif status > 0:
            error = "The training process failed; the job's log says why."
            self._fail({"code": "internal", "message": error, "pointer": None})
        else:
            self._fault(f"The training process was killed by signal {-status}.")

    def _succeed(self, end: dict[str, Any]) -> None:
        stored = {name: self.place.storage.put_file(self._inside(f["path"])) for name, f in end["files"].items()}
        for name, blob in stored.items():
            if blob.sha256 != end["files"][name]["sha256"]:
                raise OSError(f"the {name} changed between their writing and their storing")
            # Read once more: a version becomes visible only when its bytes are known to be there.
            self.place.storage.verified_path(blob.sha256)
        principal = Principal(self.job.project_id, "", frozenset())
        with self.place.sessions.begin() as session:
            queue.beat(session, self.lease, self._report)
            version = models.add_version(
                session,
                self.job,
                manifest=end["manifest"],
                metrics=end["metrics"],
                weights=stored["weights"],
                graph=stored["graph"],
            )
            queue.succeed(session, self.lease, version=version, metrics=end["metrics"], principal=principal)

    def _stopped(self, reason: str) -> None:
        with self.place.sessions.begin() as session:
            control = queue.beat(session, self.lease, self._report)
            if reason == "cancelled" or control == "cancel":
                queue.stop(session, self.lease, "cancelled")
            elif control == "pause":
                queue.stop(session, self.lease, "paused")
            else:
                queue.release(session, self.lease)

    def _fail(self, error: dict[str, Any]) -> None:
        with self.place.sessions.begin() as session:
            queue.beat(session, self.lease, self._report)
            queue.fail(session, self.lease, error)

    def _fault(self, reason: str) -> None:
        try:
            with self.place.sessions.begin() as session:
                queue.beat(session, self.lease, self._report)
                queue.fault(session, self.lease, reason, max_attempts=self.place.settings.max_attempts)
        except LeaseLost:
            log.warning("lost the lease of %s", self.job.id)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": message, "pointer": None}
