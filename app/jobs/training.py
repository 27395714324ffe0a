"""What a claimed training job does: the data set goes in, a child learns, a model version comes out."""

from __future__ import annotations

import json
import selectors
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.datasets import service as datasets
from app.errors import StorageFull
from app.ids import new_id
from app.jobs import curves, journal, queue
from app.jobs.attempt import Attempt, Workplace
from app.jobs.executors import child as child_side
from app.jobs.executors.local import Child
from app.jobs.executors.streams import Lines, Text
from app.jobs.files import Files
from app.jobs.lease import Beat
from app.jobs.usage import Usage
from app.learning.memory import is_refusal
from app.models import service as models
from app.models.reference import BEST
from app.principal import Principal
from app.tables import CheckpointRow, DatasetRow, JobRow

MAX_LOG_BYTES = 1 << 20
LAST_WORDS = 4096
WALL = "/limits/wall_seconds"
LOOK_SECONDS = 0.25
NUM_SNAPSHOTS_KEPT = 2


class Training(Attempt):
    """An attempt to train: the worker's side of one training child.

    A child that does not end by itself within `grace_seconds` of its time limit is killed.
    """

    grace_seconds = 60.0

    def __init__(self, place: Workplace, job: JobRow) -> None:
        super().__init__(place, job)
        self._started = self._last_look = time.monotonic()
        self._seconds_before = float(job.progress.get("seconds_elapsed") or 0.0)
        # Until the child tells more, the job is where the attempt before has left it.
        self._progress = dict(job.progress)
        self._usage: Usage | None = None
        self._files = Files(self.folder, place.storage, place.read_sessions)
        self._snapshots: list[str] = []
        self._end: dict[str, Any] | None = None
        self._asked: str | None = None
        self._told_limit = self._limit
        self._num_log_bytes = 0
        self._last_words = ""

    def work(self) -> None:
        """Hand the child its order and see it through."""
        self._prepare()
        self._supervise(self.place.launcher.start(self.folder))

    def _prepare(self) -> None:
        place, job = self.place, self.job
        with place.sessions.begin() as session:
            dataset = datasets.get_by_id(session, job.dataset_id or "")
            checkpoint = journal.newest_checkpoint(session, job.id)
            queue.beat(session, self.lease, Beat(rewind_to=checkpoint.step if checkpoint else -1))
            self._last_sample = curves.last_sample(session, job.id)
        data = place.storage.verified_path(dataset.parquet_sha256)
        resume: dict[str, Any] | None = None
        if checkpoint is not None:
            state = place.storage.verified_path(checkpoint.sha256)
            resume = {"path": str(state), "state": checkpoint.state}
        request = {
            **job.plan,
            "dataset": described(dataset, data),
            # A repetition computes with as many as the first one did, whatever the first steps say today.
            "threads": job.plan.get("threads"),
            "checkpoint_seconds": place.settings.checkpoint_seconds,
            "wall_seconds": self._limit,
            "seconds_before": self._seconds_before,
            "max_parameters": place.settings.max_parameters,
            "memory_bytes": job.limits["memory_bytes"],
            "processes": place.settings.job_processes,
            "resume": resume,
            # Of a trial, or of what only is compared, nobody asks for predictions.
            "snapshots": job.kind == "train" and job.study_id is None,
        }
        self._order("train", request, [str(data), *([resume["path"]] if resume else [])])

    def _order(self, work: str, request: dict[str, Any], readable: list[str]) -> None:
        """Write down what the child shall do, and the files that it may read."""
        settings = self.place.settings
        envelope = {
            "work": work,
            "request": request,
            "readable": readable,
            "limits": {"memory_bytes": self.job.limits["memory_bytes"], "file_size_bytes": settings.max_decoded_bytes},
            "compiles": (request.get("params") or {}).get("compile", False),
            "sandbox": settings.sandbox,
        }
        (self.folder / child_side.REQUEST_FILE).write_bytes(json.dumps(envelope).encode())

    @property
    def _limit(self) -> float:
        """The wall-clock limit of all attempts together, which may be changed while they run."""
        return float(self.limits["wall_seconds"])

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _supervise(self, child: Child) -> None:
        self._usage = Usage(child.pid, self.folder, self.place.settings.heartbeat_seconds, self._last_sample)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(child.report_fd, selectors.EVENT_READ, Lines(self._hear))
                selector.register(child.log_fd, selectors.EVENT_READ, Text(self._log))
                while selector.get_map():
                    for key, _ in selector.select(min(LOOK_SECONDS, self.place.settings.heartbeat_seconds / 4)):
                        if not key.data(key.fd):
                            selector.unregister(key.fd)
                    self._measure()
                    self.beat_if_due()
                    self._pass_on_control(child)
                    if self._seconds() > max(self._limit, self._seconds_before) + self.grace_seconds:
                        self._end = _error("wall-time-exceeded", "The job did not stop at its wall-clock limit.", WALL)
                        child.kill()
            child.exited.wait()
        finally:
            child.kill()
            child.close()
        self._conclude(child.status or 0)

    def _measure(self) -> None:
        """Sample what the child uses, once a heartbeat; it is told with the progress, and makes curves."""
        if self._usage is not None and self._usage.is_due():
            self.report.points += self._usage.sample(self._seconds(), self._progress)
            self._tell_progress(resources=self._usage.resources)

    def _tell_progress(self, **news: Any) -> None:
        self._progress |= news
        self.report.progress = dict(self._progress)

    def _pass_on_control(self, child: Child) -> None:
        if time.monotonic() - self._last_look >= LOOK_SECONDS:
            self._last_look = time.monotonic()
            self.look()
        if self._limit != self._told_limit:
            self._told_limit = self._limit
            child.ask(f"limit {self._limit}")
        # A worker that shuts down pauses its children for the sake of a checkpoint, then gives the job back.
        word = self.control or ("pause" if self.leaving.is_set() else None)
        if word and self._asked not in (word, "cancel"):
            self._asked = word
            child.ask(word)

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.pop("type")
        if kind == "progress":
            self._tell_progress(**message)
        elif kind == "phase":
            self.report.phase = message["phase"]
            self.report.events.append(journal.event("phase", f"Phase: {message['phase']}.", phase=message["phase"]))
        elif kind == "metrics":
            self.report.points.append({"kind": "epoch", **message})
        elif kind == "losses":
            self.report.points += [{"kind": "step", **point} for point in message["points"]]
        elif kind == "snapshot":
            self._save_snapshot(message)
        elif kind == "event":
            self.report.events.append(journal.event("message", message["message"], message["level"], **message["data"]))
        elif kind == "checkpoint":
            self._save_checkpoint(message)
        elif kind == "sandbox":
            self.report.events.append(journal.event("sandbox", "Confined by the kernel.", layers=message["layers"]))
        else:
            self._end = {"type": kind, **message}

    def _log(self, text: str) -> None:
        if self._num_log_bytes < MAX_LOG_BYTES:
            self._num_log_bytes += len(text)
            self.report.logs.append(text.replace("\x00", "\ufffd"))
        self._last_words = (self._last_words + text)[-LAST_WORDS:]

    def _save_checkpoint(self, message: dict[str, Any]) -> None:
        with self.place.storage.holding():
            blob = self._files.keep(message)
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
                # The curves up to this step belong to it: an attempt that goes on from here tells only later ones.
                self.control = queue.beat(session, self.lease, self.report)
                queue.save_checkpoint(session, self.lease, row)
        self.report, self.last_beat = Beat(), time.monotonic()

    def _save_snapshot(self, message: dict[str, Any]) -> None:
        reference = f"{self.job.model}@{BEST}"
        with self.place.storage.holding():
            blob = self._files.keep(message)
            told = {name: message[name] for name in ("epoch", "step", "manifest")}
            size = {"graph_sha256": blob.sha256, "size_bytes": blob.size_bytes}
            self.report.snapshot = {"lease_epoch": self.lease.epoch, **told, **size}
            self._tell_progress(snapshot={"reference": reference, "epoch": message["epoch"], "step": message["step"]})
            if not self._snapshots:
                said = f"{reference} answers predictions with the best weights so far."
                self.report.events.append(journal.event("message", said))
            self.beat()
        # Whoever has just looked up the one before may still be reading it.
        self._snapshots.append(blob.sha256)
        if len(self._snapshots) > NUM_SNAPSHOTS_KEPT:
            self._files.forget(self._snapshots.pop(0))

    def _conclude(self, status: int) -> None:
        if self._usage is not None:
            self.report.points += self._usage.rest()
        end = self._end or {}
        if end.get("type") in ("result", "error"):
            # The best weights so far are a version now, or nothing.
            self._progress.pop("snapshot", None)
            self._tell_progress(seconds_remaining=None, seconds_remaining_at_most=None)
        if end.get("type") == "result":
            self._succeed(end)
        elif end.get("type") == "stopped":
            self.stopped(end["reason"])
        elif end.get("type") == "error":
            self._fail(end)
        elif status != 0 and is_refusal(self._last_words):
            # Some libraries end the process where others raise.
            self._fail(_error("out-of-memory", "The training ran out of memory.", "/limits/memory_bytes"))
        elif status == child_side.EXIT_FULL_DISK:
            raise StorageFull("The training had no space left to write to.")
        elif status > 0:
            error = "The training process failed; the job's log says why."
            self.fail({"code": "internal", "message": error, "pointer": None})
        else:
            self.fault(f"The training process was killed by signal {-status}.")

    def _fail(self, end: dict[str, Any]) -> None:
        """What is known on this side goes with what the child says: the limit, and where one could go on from."""
        with self.place.sessions.begin() as session:
            checkpoint = journal.newest_checkpoint(session, self.job.id)
        kept = {"step": checkpoint.step, "epoch": checkpoint.epoch} if checkpoint else None
        details = (end.get("details") or {}) | {"checkpoint": kept}
        if end["code"] == "out-of-memory":
            details["limit_bytes"] = self.job.limits["memory_bytes"]
        members = ("code", "message", "pointer", "errors", "next_step")
        self.fail({name: end.get(name) for name in members} | {"details": details})

    def _succeed(self, end: dict[str, Any]) -> None:
        with self.place.storage.holding():
            stored = self._files.keep_all(end["files"])
            principal = Principal(self.job.project_id, "", frozenset())
            with self.place.sessions.begin() as session:
                queue.beat(session, self.lease, self.report)
                if self.job.study_id is not None:
                    # Of all trials only the best becomes a version, and which that is shows at the end of the study.
                    kept = {"manifest": end["manifest"], "files": {name: asdict(blob) for name, blob in stored.items()}}
                    queue.succeed(session, self.lease, principal, metrics=end["metrics"], result=kept)
                    return
                version = models.add_version(
                    session, self.job, manifest=end["manifest"], metrics=end["metrics"], files=stored
                )
                queue.succeed(session, self.lease, principal, version=version, metrics=end["metrics"])


def described(dataset: DatasetRow, path: Path) -> dict[str, Any]:
    """A data set as a child needs to know it."""
    return {
        "id": dataset.id,
        "path": str(path),
        "columns": dataset.columns,
        "num_rows": dataset.num_rows,
        "sha256": dataset.parquet_sha256,
    }


def _error(code: str, message: str, pointer: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": message, "pointer": pointer}
