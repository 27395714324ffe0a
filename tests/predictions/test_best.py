"""`model@best`: the best weights so far of a running job answer predictions, then the version that they became."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from fastapi import FastAPI
from onnx import numpy_helper
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app import garbage, remembering
from app.jobs import queue
from app.jobs.lease import Beat, Lease
from app.models import service as models
from app.principal import Principal
from app.storage import Storage
from app.tables import JobRow, SnapshotRow
from tests.trained import ROW, Trained, store_job, store_version

ENDINGS: dict[str, Callable[[Any, Lease], object]] = {
    "failed": lambda s, lease: queue.fail(s, lease, {"code": "diverged", "message": "It did.", "pointer": None}),
    "cancelled": lambda s, lease: queue.stop(s, lease, "cancelled"),
    "given up": lambda s, lease: queue.fault(s, lease, "it died.", max_attempts=1),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """References are looked up for every request."""
    monkeypatch.setattr(remembering, "TRUSTED_SECONDS", 0.0)


def other(graph: bytes) -> bytes:
    """The same network with all weights halved: other answers."""
    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f":
            tensor.CopyFrom(numpy_helper.from_array(array * array.dtype.type(0.5), tensor.name))
    content: bytes = model.SerializeToString()
    return content


class Running:
    """A job of the model penguins that a worker is at."""

    def __init__(self, app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> None:
        self.app, self.trained = app, trained
        self.id = store_job(app, owner, dataset_id)
        with app.state.sessions.begin() as session:
            job = queue.claim(session, "test")
            assert job is not None
            self.lease = Lease(job.id, job.lease_epoch)

    def snapshot(self, graph: bytes, *, epoch: int) -> str:
        storage: Storage = self.app.state.storage
        blob = storage.put(graph)
        row = {
            "lease_epoch": self.lease.epoch, "epoch": epoch, "step": 10 * epoch, "graph_sha256": blob.sha256,
            "size_bytes": blob.size_bytes, "manifest": self.trained.manifest,
        }  # fmt: skip
        with self.app.state.sessions.begin() as session:
            queue.beat(session, self.lease, Beat(snapshot=row))
        return blob.sha256

    def end(self, how: Callable[[Any, Lease], object]) -> None:
        with self.app.state.sessions.begin() as session:
            how(session, self.lease)

    def succeed(self, owner: Principal) -> None:
        storage: Storage = self.app.state.storage
        weights, graph = storage.put(self.trained.weights), storage.put(self.trained.graph)
        with self.app.state.sessions.begin() as session:
            job = session.get_one(JobRow, self.id)
            files = {"weights": weights, "graph": graph, "evaluation": storage.put(self.trained.evaluation)}
            version = models.add_version(session, job, manifest=self.trained.manifest, metrics={}, files=files)
            queue.succeed(session, self.lease, owner, version=version, metrics={})


@pytest.fixture
def running(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> Running:
    """A running job without weights yet."""
    return Running(app, owner, trained, dataset_id)


def ask(client: TestClient, reference: str = "penguins@best", **more: Any) -> Any:
    return client.post(f"/v1/models/{reference}/predict", json={"rows": [ROW]}, **more)


def test_before_there_are_weights_nothing_answers(client: TestClient, running: Running) -> None:
    assert ask(client).status_code == 404


def test_a_running_job_answers_and_newer_weights_take_over(
    client: TestClient, running: Running, trained: Trained
) -> None:
    running.snapshot(other(trained.graph), epoch=1)
    first = ask(client).json()
    assert first["model"] == "penguins@best"
    assert first["snapshot"] == {"job": running.id, "epoch": 1, "step": 10}
    running.snapshot(trained.graph, epoch=2)
    second = ask(client).json()
    assert second["snapshot"]["epoch"] == 2
    assert second["predictions"] != first["predictions"]
    assert client.app.state.served.loaded.size_bytes < 2_000_000  # type: ignore[attr-defined]
    assert len(client.app.state.served.loaded) == 1  # type: ignore[attr-defined]


def test_afterwards_the_version_answers_that_they_became(
    client: TestClient, running: Running, owner: Principal, trained: Trained
) -> None:
    running.snapshot(other(trained.graph), epoch=1)
    ask(client)
    running.succeed(owner)
    answer = ask(client).json()
    assert (answer["model"], "snapshot" in answer) == ("penguins@1", False)
    assert answer["predictions"] == ask(client, "penguins@1").json()["predictions"]


@pytest.mark.parametrize("how", ENDINGS.values(), ids=ENDINGS)
def test_a_job_that_ends_without_a_version_leaves_nothing(
    client: TestClient, app: FastAPI, running: Running, trained: Trained, how: Callable[[Any, Lease], object]
) -> None:
    digest = running.snapshot(other(trained.graph), epoch=1)
    with app.state.sessions.begin() as session:
        assert garbage.is_referenced(session, digest)
    running.end(how)
    assert ask(client).status_code == 404
    with app.state.sessions.begin() as session:
        assert session.scalars(select(func.count()).select_from(SnapshotRow)).one() == 0
        assert not garbage.is_referenced(session, digest)


def test_an_earlier_version_answers_while_a_job_has_nothing_or_after_it_failed(
    client: TestClient, app: FastAPI, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    store_version(app, owner, trained, dataset_id)
    running = Running(app, owner, trained, dataset_id)
    assert ask(client).json()["model"] == "penguins@1"
    running.snapshot(other(trained.graph), epoch=1)
    assert ask(client).json()["model"] == "penguins@best"
    assert ask(client, "penguins").json()["model"] == "penguins@1"
    running.end(ENDINGS["failed"])
    assert ask(client).json()["model"] == "penguins@1"


def test_a_paused_job_goes_on_answering(client: TestClient, running: Running, trained: Trained) -> None:
    running.snapshot(trained.graph, epoch=3)
    running.end(lambda session, lease: queue.stop(session, lease, "paused"))
    assert ask(client).json()["snapshot"]["epoch"] == 3
    client.post(f"/v1/jobs/{running.id}/cancel")
    assert ask(client).status_code == 404


def test_of_two_jobs_the_newer_one_answers(
    client: TestClient, app: FastAPI, owner: Principal, trained: Trained, dataset_id: str, running: Running
) -> None:
    newer = Running(app, owner, trained, dataset_id)
    running.snapshot(trained.graph, epoch=9)
    assert ask(client).json()["snapshot"]["job"] == running.id
    newer.snapshot(trained.graph, epoch=1)
    assert ask(client).json()["snapshot"]["job"] == newer.id


def test_nobody_else_sees_them(
    client: TestClient, running: Running, trained: Trained, stranger: dict[str, str],
    new_key: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    running.snapshot(trained.graph, epoch=1)
    assert ask(client, headers=stranger).status_code == 404
    assert ask(client, headers=new_key("predict", model="cats")).status_code == 404
    assert ask(client, headers=new_key("predict", model="penguins")).status_code == 200


def test_damaged_bytes_are_not_served(client: TestClient, app: FastAPI, running: Running, trained: Trained) -> None:
    digest = running.snapshot(trained.graph, epoch=1)
    path: Path = app.state.storage.path(digest)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert (ask(client).status_code, ask(client).json()["type"]) == (503, "/problems/artifact-corrupt")


def test_weights_that_were_replaced_meanwhile_are_looked_up_again(
    client: TestClient, app: FastAPI, running: Running, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = running.snapshot(other(trained.graph), epoch=1)
    assert ask(client).status_code == 200
    monkeypatch.setattr(remembering, "TRUSTED_SECONDS", 1000.0)
    monkeypatch.setattr(remembering, "FRESH_SECONDS", 1000.0)
    app.state.served.loaded._drop(lambda key: True)
    running.snapshot(trained.graph, epoch=2)
    app.state.storage.path(gone).unlink()
    assert ask(client).json()["snapshot"]["epoch"] == 2


def test_no_version_can_be_called_best(client: TestClient, version: int) -> None:
    answer = client.put("/v1/models/penguins/aliases/best", json={"version": version})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "path:alias")
    assert client.get("/v1/models/penguins/aliases/best").status_code == 404
    assert client.get("/v1/models/penguins").json()["aliases"] == {}
