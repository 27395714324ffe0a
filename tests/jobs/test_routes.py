"""/v1/jobs without a worker: what is refused, what is stored, what the lists and streams say."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.database import Sessions
from app.jobs import journal
from app.settings import Settings
from app.tables import AuditRow, JobEventRow, JobRow


def submit(client: TestClient, dataset: str, **more: Any) -> dict[str, Any]:
    """A queued job."""
    answer = client.post("/v1/jobs", json={"dataset": dataset, "target": "species", **more})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_only_dataset_and_target_are_required_and_every_default_is_shown(client: TestClient, dataset_id: str) -> None:
    job = submit(client, dataset_id)
    assert (job["status"], job["phase"], job["spec"], job["task"]) == ("queued", None, "ensemble", "multiclass")
    assert job["model"] == "penguins"
    assert job["params"]["members"]
    assert job["params"]["budget_seconds"] > 0
    assert job["split"]["method"] == "stratified"
    assert set(job["limits"]) == {"wall_seconds", "memory_bytes"}
    assert set(job["digests"]) == {"dataset", "table", "plan"}


@pytest.mark.parametrize(
    ("params", "spec"),
    [({"budget_seconds": 5}, "ensemble"), ({"calibrate": False}, "ensemble"), ({"epochs": 3}, "dense")],
)
def test_parameters_say_which_spec_is_meant_when_none_is_named(
    client: TestClient, dataset_id: str, params: dict[str, Any], spec: str
) -> None:
    assert submit(client, dataset_id, params=params)["spec"] == spec


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"target": "nope"}, 422, "/target"),
    ({"target": ""}, 422, "/target"),
    ({"spec": "os.system"}, 422, "/spec"),
    ({"params": {"learning_rate": 0}}, 422, "/params/learning_rate"),
    ({"params": {"hidden": [-1]}}, 422, "/params/hidden/0"),
    ({"params": {"hidden": [60000, 60000, 60000]}}, 422, "/params/hidden"),
    ({"params": {"no_such": 1}}, 422, "/params/no_such"),
    ({"params": []}, 422, "/params"),
    ({"preparation": {"columns": {"nope": {"use": False}}}}, 422, "/preparation/columns/nope"),
    ({"split": {"test": 1.5}}, 422, "/split/test"),
    ({"seed": -1}, 422, "/seed"),
    ({"seed": 1.5}, 422, "/seed"),
    ({"priority": 10**6}, 422, "/priority"),
    ({"model": "../m"}, 422, "/model"),
    ({"task": "regression"}, 422, "/task"),
    ({"limits": {"wall_seconds": 10**7}}, 422, "/limits/wall_seconds"),
    ({"limits": {"memory_bytes": 10**15}}, 422, "/limits/memory_bytes"),
    ({"limits": {"memory_bytes": 1}}, 422, "/limits/memory_bytes"),
    ({"unknown": 1}, 422, "/unknown"),
]


@pytest.mark.parametrize(("change", "status", "pointer"), REFUSED, ids=[str(each[0])[:50] for each in REFUSED])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs:validate"])
def test_an_impossible_job_is_refused_with_a_pointer_and_leaves_nothing(
    client: TestClient,
    sessions: Sessions,
    dataset_id: str,
    path: str,
    change: dict[str, Any],
    status: int,
    pointer: str,
) -> None:
    answer = client.post(path, json={"dataset": dataset_id, "target": "species", **change})
    assert answer.status_code == status, answer.text
    assert any(error["pointer"].startswith(pointer) for error in answer.json()["errors"]), answer.text
    with sessions.begin() as session:
        assert session.scalars(select(func.count()).select_from(JobRow)).one() == 0
        assert session.scalars(select(func.count()).select_from(JobEventRow)).one() == 0


def test_a_dry_run_shows_the_plan_and_stores_nothing(client: TestClient, sessions: Sessions, dataset_id: str) -> None:
    body = {"dataset": dataset_id, "target": "species"}
    answer = client.post("/v1/jobs:validate", json=body).json()
    job = submit(client, dataset_id)
    assert answer["plan"]["params"] == job["params"]
    with sessions.begin() as session:
        assert session.scalars(select(func.count()).select_from(JobRow)).one() == 1


def test_a_full_queue_says_when_to_come_back(client: TestClient, settings: Settings, dataset_id: str) -> None:
    client.app.state.settings = settings.model_copy(update={"max_queued_jobs": 2})  # type: ignore[attr-defined]
    first = submit(client, dataset_id)
    submit(client, dataset_id)
    answer = client.post("/v1/jobs", json={"dataset": dataset_id, "target": "species"})
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    client.post(f"/v1/jobs/{first['id']}/cancel")
    submit(client, dataset_id)


def test_lists_filter_by_status_and_model(client: TestClient, dataset_id: str) -> None:
    first, second = submit(client, dataset_id), submit(client, dataset_id, model="other")
    client.post(f"/v1/jobs/{first['id']}/cancel")
    ids = lambda query: [job["id"] for job in client.get(f"/v1/jobs?{query}").json()["data"]]  # noqa: E731
    assert ids("") == [second["id"], first["id"]]
    assert ids("status=cancelled") == [first["id"]]
    assert ids("model=other") == [second["id"]]


def test_steering_a_queued_job_is_recorded(client: TestClient, sessions: Sessions, dataset_id: str) -> None:
    job = submit(client, dataset_id)
    for action, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert client.post(f"/v1/jobs/{job['id']}/{action}").json()["status"] == status
    again = client.post(f"/v1/jobs/{job['id']}/cancel")
    assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")
    with sessions.begin() as session:
        actions = session.scalars(select(AuditRow.action).where(AuditRow.object == job["id"]).order_by(AuditRow.seq))
        assert actions.all() == ["job.create", "job.pause", "job.resume", "job.cancel"]


def _stream(client: TestClient, job_id: str, **headers: str) -> list[dict[str, str]]:
    answer = client.get(f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream", **headers})
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in answer.text.split("\n\n") if "event: " in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_the_event_stream_replays_and_goes_on_after_the_last_seen(
    client: TestClient, sessions: Sessions, dataset_id: str
) -> None:
    job = submit(client, dataset_id)
    with sessions.begin() as session:
        journal.append(session, job["id"], [journal.event("message", f"number {n}") for n in range(600)])
    client.post(f"/v1/jobs/{job['id']}/cancel")
    whole = _stream(client, job["id"])
    assert [int(event["id"]) for event in whole if "id" in event] == list(range(1, 603))
    assert whole[-1]["event"] == "done"
    rest = _stream(client, job["id"], **{"last-event-id": "600"})
    assert [event.get("id") for event in rest] == ["601", "602", None]


def test_a_stream_ends_when_the_key_is_revoked(client: TestClient, dataset_id: str, new_key: Any) -> None:
    job = submit(client, dataset_id)
    header = new_key("read")
    keys = client.get("/v1/keys").json()["data"]
    key_id = next(key["id"] for key in keys if key["name"] == "test")
    client.get("/v1/jobs", headers=header)  # the key is trusted from here for the rest of a second
    client.delete(f"/v1/keys/{key_id}")
    answer = client.get(f"/v1/jobs/{job['id']}/events", headers={"accept": "text/event-stream", **header})
    assert (answer.status_code, "event: done" in answer.text) == (200, False)
    assert answer.elapsed.total_seconds() < 3


def test_event_pages_walk_the_whole_record(client: TestClient, sessions: Sessions, dataset_id: str) -> None:
    job = submit(client, dataset_id)
    with sessions.begin() as session:
        journal.append(session, job["id"], [journal.event("message", f"number {n}") for n in range(6)])
    seen: list[int] = []
    after = ""
    while True:
        page = client.get(f"/v1/jobs/{job['id']}/events?limit=3{after}").json()
        seen += [event["seq"] for event in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_a_held_poll_answers_after_its_time(client: TestClient, dataset_id: str) -> None:
    job = submit(client, dataset_id)
    answer = client.get(f"/v1/jobs/{job['id']}", headers={"prefer": "wait=1"})
    assert answer.json()["status"] == "queued"
    assert answer.elapsed.total_seconds() >= 1
    assert answer.headers["retry-after"] == "1"
