"""Uploads that a worker reads: accepted, followed, cancelled, failed, and read again after a crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.datasets.blobs import blobs
from tests.jobs.runs import SOON, wait
from tests.processes import Server, eventually, kill
from tests.test_errors import assert_problem

CSV = {"content-type": "text/csv"}
LATER = CSV | {"prefer": "respond-async"}
TABLE = b"a,b\n1,x\n2,y\n"


def big_table(num_rows: int = 300_000) -> bytes:
    return b"n,text\n" + b"".join(
        b"%d,some text that takes its time %d\n" % (i, i * 7919 % 10_007) for i in range(num_rows)
    )


def test_a_large_upload_is_processing_until_its_job_has_read_it(steady: Server) -> None:
    answer = steady.http.post("/v1/datasets?name=later", content=TABLE, headers=LATER)
    accepted = answer.json()
    assert (answer.status_code, accepted["status"], accepted["num_rows"]) == (201, "processing", None)
    job = wait(steady, accepted["job"])
    assert (job["kind"], job["status"], job["dataset"], job["spec"]) == ("ingest", "succeeded", accepted["id"], None)
    ready = steady.http.get(f"/v1/datasets/{accepted['id']}").json()
    assert (ready["status"], ready["num_rows"], ready["job"]) == ("ready", 2, None)
    assert [column["type"] for column in ready["columns"]] == ["integer", "category"]
    events = steady.http.get(f"/v1/jobs/{job['id']}/events").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "reading" in {event["data"].get("phase") for event in events}


def test_what_is_read_later_is_what_is_read_at_once(steady: Server) -> None:
    at_once = steady.http.post("/v1/datasets?name=same", content=TABLE, headers=CSV).json()
    waiting = {**CSV, "prefer": "respond-async, wait=30"}
    later = steady.http.post("/v1/datasets?name=same", content=TABLE, headers=waiting).json()
    assert (later["status"], later["version"]) == ("ready", 2)
    for member in ("columns", "source", "sha256", "size_bytes", "num_rows", "format", "origin"):
        assert later[member] == at_once[member]


def test_a_table_that_cannot_be_read_later_says_why(steady: Server) -> None:
    accepted = steady.http.post("/v1/datasets?name=bad", content=b"a,b\n1\n", headers=LATER).json()
    failed = steady.http.get(f"/v1/datasets/{accepted['id']}", headers={"prefer": "wait=30"}).json()
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "dataset-invalid"
    assert failed["error"]["errors"] == [{"pointer": "/lines/2", "detail": "has 1 fields where the header has 2"}]
    assert wait(steady, failed["job"])["status"] == "failed"
    for path in ("/rows", "/profile", "/content"):
        assert steady.http.get(f"/v1/datasets/{accepted['id']}{path}").status_code == 409
    assert steady.http.post(f"/v1/jobs/{failed['job']}/retry").status_code == 409
    assert steady.http.delete(f"/v1/datasets/{accepted['id']}").status_code == 204
    assert steady.http.get(f"/v1/jobs/{failed['job']}").status_code == 404


def test_a_job_needs_a_table(client: TestClient) -> None:
    accepted = client.post("/v1/datasets?name=soon", content=TABLE, headers=LATER).json()
    assert_problem(client.post("/v1/jobs", json={"dataset": accepted["id"], "target": "b"}), 409, "conflict")


def test_a_cancelled_job_leaves_a_failed_data_set_without_bytes(client: TestClient, app: FastAPI) -> None:
    accepted = client.post("/v1/datasets?name=soon", content=TABLE, headers=LATER).json()
    assert client.delete(f"/v1/datasets/{accepted['id']}").status_code == 409
    assert client.post(f"/v1/jobs/{accepted['job']}/finish").status_code == 409
    assert client.post(f"/v1/jobs/{accepted['job']}/cancel").json()["status"] == "cancelled"
    failed = client.get(f"/v1/datasets/{accepted['id']}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "cancelled")
    assert client.delete(f"/v1/datasets/{accepted['id']}").status_code == 204
    assert blobs(app) == set()


def kill_worker(server: Server) -> None:
    kill(server.worker())


def kill_api(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("disturb", [kill_worker, kill_api])
def test_a_killed_process_costs_no_accepted_upload(
    serve: Callable[..., Server], disturb: Callable[[Server], None]
) -> None:
    server = serve(**SOON)
    accepted = server.http.post("/v1/datasets?name=big", content=big_table(), headers=LATER).json()
    eventually(lambda: job_of(server, accepted)["phase"] in ("reading", "profiling"), seconds=60)
    disturb(server)
    job = wait(server, accepted["job"])
    assert (job["status"], job["attempt"]) == ("succeeded", 2), server.story(job["id"])
    assert server.http.get(f"/v1/datasets/{accepted['id']}").json()["num_rows"] == 300_000


def job_of(server: Server, accepted: dict[str, Any]) -> dict[str, Any]:
    return server.job(accepted["job"])
