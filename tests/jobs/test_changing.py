"""PATCH /v1/jobs/{job_id}: priority and time limit of jobs that have not ended."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app.database import Sessions
from app.ids import new_id
from app.jobs import queue
from app.tables import AuditRow, CheckpointRow, JobRow
from tests.jobs.rows import Insert, claim, read


@pytest.fixture
def job(client: TestClient, dataset_id: str) -> dict[str, Any]:
    """A queued job."""
    answer = client.post("/v1/jobs", json={"dataset": dataset_id, "target": "species"})
    found: dict[str, Any] = answer.json()
    return found


def patch(client: TestClient, job: dict[str, Any], body: Any, **headers: str) -> Any:
    return client.patch(
        f"/v1/jobs/{job['id']}", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_a_change_is_kept_told_and_recorded(client: TestClient, app: FastAPI, job: dict[str, Any]) -> None:
    answer = patch(client, job, {"priority": 7, "limits": {"wall_seconds": 90}})
    assert (answer.status_code, answer.json()["priority"]) == (200, 7)
    assert answer.json()["limits"] == job["limits"] | {"wall_seconds": 90}
    assert client.get(f"/v1/jobs/{job['id']}").json()["limits"]["wall_seconds"] == 90
    event = client.get(f"/v1/jobs/{job['id']}/events").json()["data"][-1]
    assert (event["type"], event["message"]) == ("change", "Changed: priority 7, at most 90 seconds.")
    assert event["data"] == {"priority": 7, "limits": {"wall_seconds": 90}}
    with app.state.sessions.begin() as session:
        entry = session.scalars(select(AuditRow).where(AuditRow.action == "job.change")).one()
        assert (entry.object, entry.data) == (job["id"], event["data"])


def test_what_is_left_out_stays_and_what_is_so_already_is_no_change(client: TestClient, job: dict[str, Any]) -> None:
    patch(client, job, {"priority": 7})
    before = client.get(f"/v1/jobs/{job['id']}/events").json()["data"]
    for body in ({}, {"limits": {}}, {"priority": 7}, {"limits": {"wall_seconds": job["limits"]["wall_seconds"]}}):
        answer = patch(client, job, body)
        assert (answer.status_code, answer.json()["priority"], answer.json()["limits"]) == (200, 7, job["limits"])
    assert client.get(f"/v1/jobs/{job['id']}/events").json()["data"] == before


def test_the_queue_obeys_a_new_priority(client: TestClient, sessions: Sessions, dataset_id: str) -> None:
    first, second = (
        client.post("/v1/jobs", json={"dataset": dataset_id, "target": "species"}).json() for _ in range(2)
    )
    patch(client, second, {"priority": 1})
    assert [claim(sessions).job_id for _ in range(2)] == [second["id"], first["id"]]


REFUSED: list[tuple[Any, str]] = [
    ({"priority": "high"}, "/priority"),
    ({"priority": 1001}, "/priority"),
    ({"priority": None}, "/priority"),
    ({"priority": 1.5}, "/priority"),
    ({"limits": {"wall_seconds": 0}}, "/limits/wall_seconds"),
    ({"limits": {"wall_seconds": -5}}, "/limits/wall_seconds"),
    ({"limits": {"wall_seconds": 10**7}}, "/limits/wall_seconds"),
    ({"limits": {"memory_bytes": 10**9}}, "/limits/memory_bytes"),
    ({"limits": None}, "/limits"),
    ({"status": "succeeded"}, "/status"),
    ([], ""),
]


@pytest.mark.parametrize(("body", "pointer"), REFUSED, ids=[str(body) for body, _ in REFUSED])
def test_an_impossible_change_is_refused_with_a_pointer(
    client: TestClient, job: dict[str, Any], body: Any, pointer: str
) -> None:
    answer = patch(client, job, body)
    assert answer.status_code == 422, answer.text
    assert any(error["pointer"].startswith(pointer) for error in answer.json()["errors"])
    assert client.get(f"/v1/jobs/{job['id']}").json() == job


def test_a_change_of_what_somebody_else_has_changed_is_refused(client: TestClient, job: dict[str, Any]) -> None:
    etag = client.get(f"/v1/jobs/{job['id']}").headers["etag"]
    first = patch(client, job, {"priority": 1}, if_match=etag)
    assert (first.status_code, first.headers["etag"] != etag) == (200, True)
    late = patch(client, job, {"priority": 2}, if_match=etag)
    assert (late.status_code, late.json()["type"]) == (412, "/problems/precondition-failed")
    assert patch(client, job, {"priority": 3}, if_match=first.headers["etag"]).status_code == 200
    assert patch(client, job, {"priority": 4}, if_match="*").status_code == 200


@pytest.mark.parametrize("ending", ["succeeded", "failed", "cancelled"])
def test_nothing_about_an_ended_job_changes(client: TestClient, app: FastAPI, job: dict[str, Any], ending: str) -> None:
    with app.state.sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job["id"]).values(status=ending))
    for body in ({"priority": 1}, {"limits": {"wall_seconds": 5}}):
        answer = patch(client, job, body)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


def test_jobs_that_read_tables_have_no_time_limit_of_their_own(
    client: TestClient, app: FastAPI, job: dict[str, Any]
) -> None:
    with app.state.sessions.begin() as session:
        session.execute(update(JobRow).where(JobRow.id == job["id"]).values(kind="ingest"))
    assert patch(client, job, {"limits": {"wall_seconds": 5}}).status_code == 409
    assert patch(client, job, {"priority": 5}).json()["priority"] == 5


def checkpoint(sessions: Sessions, job_id: str) -> None:
    lease = claim(sessions)
    row = CheckpointRow(
        id=new_id("ckpt"), job_id=job_id, lease_epoch=1, epoch=1, step=9, sha256="0" * 64, size_bytes=1, state={}
    )
    with sessions.begin() as session:
        queue.save_checkpoint(session, lease, row)
        queue.release(session, lease)


@pytest.mark.parametrize("status", ["queued", "paused"])
def test_a_waiting_job_can_be_finished_once_it_has_learned_something(
    client: TestClient, sessions: Sessions, insert: Insert, job: dict[str, Any], status: str
) -> None:
    if status == "paused":
        client.post(f"/v1/jobs/{job['id']}/pause")
    refused = client.post(f"/v1/jobs/{job['id']}/finish")
    assert refused.status_code == 409
    assert "has not learned anything yet" in refused.json()["detail"]
    if status == "paused":
        client.post(f"/v1/jobs/{job['id']}/resume")
    checkpoint(sessions, job["id"])
    if status == "paused":
        client.post(f"/v1/jobs/{job['id']}/pause")
    told = client.post(f"/v1/jobs/{job['id']}/finish").json()
    assert (told["status"], told["control"]) == ("queued", "finish")
    claim(sessions)
    assert read(sessions, job["id"]).control == "finish"
