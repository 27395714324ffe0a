"""What a claimed job of kind `reproduce` does: it trains again what a job has trained, and compares the bits."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.errors import Conflict
from app.jobs import curves, queue
from app.jobs.reproduction import Point, Run, compare, weights_apart
from app.jobs.training import Training
from app.models import service as models
from app.principal import Principal
from app.tables import JobRow


class Reproducing(Training):
    """An attempt to train again; it makes no version."""

    def _succeed(self, end: dict[str, Any]) -> None:
        stopped = end["manifest"]["training"].get("stopped")
        if stopped == "wall_time":
            message = "The time limit came before the step at which the recorded training ended."
            self.fail({"code": "wall-time-exceeded", "message": message, "pointer": None})
            return
        digests = {name: file["sha256"] for name, file in end["files"].items()}
        with self.place.sessions.begin() as session:
            queue.beat(session, self.lease, self.report)
            recorded = _recorded(session, self.job)
            found = Run(
                digests["weights"], digests["graph"], end["manifest"], end["metrics"], _curve(session, self.job.id)
            )
        result = compare(recorded, found) | {"weights_difference": None}
        if not result["weights_equal"]:
            paths = self.place.storage.verified_path(recorded.weights), self._files.path(end["files"]["weights"])
            result["weights_difference"] = weights_apart(*paths)
        principal = Principal(self.job.project_id, "", frozenset())
        with self.place.sessions.begin() as session:
            summary = "the same bits" if result["equal"] else "not the same bits"
            queue.succeed(session, self.lease, principal, metrics=end["metrics"], result=result, summary=summary)


def _recorded(session: Session, job: JobRow) -> Run:
    version = models.find_version_of(session, job.plan["reproduces"])
    if version is None:
        raise Conflict("The model version to compare with was deleted in the meantime.")
    curve = _curve(session, job.plan["reproduces"])
    return Run(version.weights_sha256, version.graph_sha256, version.manifest, version.metrics, curve)


def _curve(session: Session, job_id: str) -> list[Point]:
    epochs = [point for point in curves.read(session, job_id) if point.kind == "epoch"]
    return [Point(point.step, point.epoch, point.values) for point in epochs]
