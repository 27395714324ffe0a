"""What is acknowledged over HTTP is durable and whole; what is not whole is never served."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from app import remembering
from tests.counts import everything
from tests.system_calls import Calls, flip
from tests.test_errors import assert_problem
from tests.trained import ROW


def test_a_full_disk_refuses_an_upload_and_nothing_is_left(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(app)
    real = os.write

    def write(fd: int, data: Any) -> int:
        if len(data) > 5000:
            raise OSError(errno.ENOSPC, "no")
        return real(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        body = b"a,b\n" + b"1,2\n" * 5000
        answers = [
            client.post("/v1/datasets?name=x", content=body, headers={"content-type": "text/csv"}),
            client.post("/v1/datasets?name=x", files={"file": ("x.csv", body, "text/csv")}),
        ]
    for answer in answers:
        assert_problem(answer, 507, "storage-full")
    assert everything(app) == before


def test_a_row_is_committed_after_its_bytes_are_durable(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/v1/keys")
    calls = Calls(monkeypatch)
    event.listen(app.state.engine, "commit", lambda _: calls.made.append("commit"))
    answer = client.post("/v1/datasets?name=x", content=b"a,b\n1,2\n3,4\n", headers={"content-type": "text/csv"})
    assert answer.status_code == 201
    assert calls.made.count("rename") == 2
    last_rename = len(calls.made) - 1 - calls.made[::-1].index("rename")
    assert calls.made[last_rename:] == ["rename", "fsync folder", "fsync folder", "commit"]


def test_a_commit_that_fails_leaves_bytes_that_a_sweep_removes(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The key is known by then, however long that takes: its look at the database would fail, too.
    monkeypatch.setattr(remembering, "TRUSTED_SECONDS", 1000.0)
    monkeypatch.setattr(remembering, "FRESH_SECONDS", 1000.0)
    client.get("/v1/keys")
    before = everything(app)

    def fail(_: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("gone"))

    event.listen(app.state.engine, "commit", fail)
    answer = client.post("/v1/datasets?name=x", content=b"a,b\n1,2\n3,4\n", headers={"content-type": "text/csv"})
    event.remove(app.state.engine, "commit", fail)
    assert_problem(answer, 503, "db-unavailable")
    after = everything(app)
    assert after == before | {"blobs": before["blobs"] + 2}
    for path in app.state.storage.blobs.glob("??/*"):
        os.utime(path, (1, 1))
    assert app.state.storage.sweep(set(), grace_seconds=60) == 2
    assert everything(app) == before


def test_damaged_bytes_are_never_served_and_the_version_says_so(
    app: FastAPI, client: TestClient, dataset_id: str, version: int
) -> None:
    digests = client.get("/v1/models/penguins/versions/1").json()["digests"]
    for name in ("weights", "graph", "dataset", "table"):
        flip(app.state.storage.path(digests[name]), 100)
    for path in (f"datasets/{dataset_id}/content", f"datasets/{dataset_id}/rows", "models/penguins/versions/1/weights"):
        assert_problem(client.get(f"/v1/{path}"), 503, "artifact-corrupt")
    assert_problem(client.post("/v1/models/penguins/predict", json={"rows": [ROW]}), 503, "artifact-corrupt")
    assert client.get("/v1/models/penguins/versions/1").json()["status"] == "corrupt"
    flip(app.state.storage.path(digests["graph"]), 100)
    assert client.post("/v1/models/penguins/predict", json={"rows": [ROW]}).status_code == 200
    assert client.get("/v1/models/penguins/versions/1").json()["status"] == "ready"
