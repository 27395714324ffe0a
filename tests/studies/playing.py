"""Studies played without training: the steward looks, and jobs are claimed and ended by the queue's own functions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from app.jobs import queue
from app.jobs.curves import Stored
from app.jobs.lease import Beat, Lease
from app.principal import Principal
from app.settings import Settings
from app.studies.steward import Steward
from app.tables import JobRow, StudyRow
from tests.trained import Trained

SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "hidden": {"type": "categorical", "choices": [[8], [32, 32]]},
}
EXTERNAL: dict[str, Any] = {"external": True, "space": {"x": {"type": "float", "low": 0, "high": 1}}, "num_trials": 5}


class Stage:
    """A service without a worker, whose part the test plays."""

    def __init__(self, app: FastAPI, client: TestClient, trained: Trained, dataset_id: str) -> None:
        self.app, self.client, self.trained, self.dataset_id = app, client, trained, dataset_id
        self.sessions = app.state.sessions
        self.settings: Settings = app.state.settings
        self.steward = Steward(self.settings, self.sessions, app.state.read_sessions)

    def create(self, **more: Any) -> str:
        """A study of the penguins; its id."""
        body = {"dataset": self.dataset_id, "target": "species", "space": SPACE, "sampler": "random", **more}
        answer = self.client.post("/v1/studies", json=body)
        assert answer.status_code == 201, answer.text
        study_id: str = answer.json()["id"]
        return study_id

    def look(self) -> None:
        """What a worker does for studies, until nothing is left to do."""
        for _ in range(3):
            self.steward.look()

    def act(self, study_id: str, action: str, status: int = 200) -> dict[str, Any]:
        """Ask something of a study."""
        answer = self.client.post(f"/v1/studies/{study_id}/{action}")
        assert answer.status_code == status, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def study(self, study_id: str) -> dict[str, Any]:
        """The study as clients see it."""
        shown: dict[str, Any] = self.client.get(f"/v1/studies/{study_id}").json()
        return shown

    def trials(self, study_id: str) -> list[dict[str, Any]]:
        """Its trials."""
        shown: list[dict[str, Any]] = self.client.get(f"/v1/studies/{study_id}/trials?limit=1000").json()["data"]
        return shown

    def jobs(self, study_id: str) -> list[dict[str, Any]]:
        """Its jobs, oldest first."""
        shown: list[dict[str, Any]] = self.client.get(f"/v1/jobs?study={study_id}&limit=1000").json()["data"]
        return shown[::-1]

    def job(self, job_id: str) -> JobRow:
        """The row of a job."""
        with self.sessions.begin() as session:
            row: JobRow = session.get_one(JobRow, job_id)
            return row

    def claim(self) -> Lease:
        """Begin the first job of the queue."""
        with self.sessions.begin() as session:
            job = queue.claim(session, "w")
            assert job is not None
            return Lease(job.id, job.lease_epoch)

    def train(self, lease: Lease, *losses: float, after: int = 0) -> str | None:
        """Report the validation losses of some epochs; answers what is asked of the job."""
        points = [
            Stored("epoch", epoch, 10 * epoch, epoch, 0.1 * epoch, {"validation_loss": loss}, {}, {})._asdict()
            for epoch, loss in enumerate(losses, start=after + 1)
        ]
        with self.sessions.begin() as session:
            return queue.beat(session, lease, Beat(progress={"epoch": after + len(losses)}, points=points))

    def succeed(self, lease: Lease, value: float, *, metric: str = "log_loss") -> str:
        """End a job well, with its own weights; answers their digest."""
        put, own = self.app.state.storage.put, lease.job_id.encode()
        files = {
            "weights": put(self.trained.weights + own),
            "graph": put(self.trained.graph),
            "evaluation": put(self.trained.evaluation),
        }
        kept = {"manifest": self.trained.manifest, "files": {name: asdict(blob) for name, blob in files.items()}}
        with self.sessions.begin() as session:
            nobody = Principal(session.get_one(JobRow, lease.job_id).project_id, "", frozenset())
            metrics = {"validation": {metric: value}, "test": {}}
            queue.succeed(session, lease, nobody, metrics=metrics, result=kept)
        return str(files["weights"].sha256)

    def stop(self, lease: Lease, status: str) -> None:
        """End an attempt as asked: `paused` or `cancelled`."""
        with self.sessions.begin() as session:
            queue.stop(session, lease, status)

    def shift(self, study_id: str, **by: timedelta) -> Any:
        """Move times of a study; answers when it ends."""
        with self.sessions.begin() as session:
            row = session.get_one(StudyRow, study_id)
            for name, delta in by.items():
                setattr(row, name, getattr(row, name) + delta)
            return row.ends_at

    def messages(self, study_id: str) -> list[str]:
        """What happened to a study, in words."""
        events = self.client.get(f"/v1/studies/{study_id}/events?limit=1000").json()["data"]
        return [event["message"] for event in events]

    def run(self, *values: float) -> None:
        """Begin and end a trial with each value."""
        for value in values:
            self.look()
            self.succeed(self.claim(), value)
        self.look()
