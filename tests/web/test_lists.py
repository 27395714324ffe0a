"""Lists in pages, polls with ETags, and held requests."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.jobs import queue
from app.jobs.lease import Lease
from app.principal import Principal
from app.tables import JobRow
from tests.test_errors import assert_problem
from tests.trained import Trained, job_status, store_dataset, store_job, store_version


def walk(client: TestClient, path: str, *, limit: int) -> list[Any]:
    """All items of a list, page by page."""
    found: list[Any] = []
    after = ""
    for _ in range(100):
        page = client.get(f"{path}?limit={limit}{after}").json()
        assert page["object"] == "list"
        assert len(page["data"]) <= limit
        found += page["data"]
        if not page["has_more"]:
            return found
        assert len(page["data"]) == limit
        after = f"&after={page['last_id']}"
    raise AssertionError("the list has no end")


@pytest.fixture
def filled(app: FastAPI, owner: Principal, trained: Trained, client: TestClient, dataset_id: str) -> str:
    """Several of everything that is listed; the id of a queued job."""
    for number in range(4):
        client.post("/v1/keys", json={"name": f"k{number}", "scopes": ["read"]})
        for name in ("declared", f"declared{number}"):
            client.post("/v1/specs", json={"name": name, "network": {"layers": []}})
        store_dataset(app, owner, trained, f"data{number}")
        store_version(app, owner, trained, dataset_id)
        store_version(app, owner, trained, dataset_id, f"model{number}")
    return store_job(app, owner, dataset_id)


@pytest.mark.parametrize(
    ("path", "key", "newest_first"),
    [
        ("/v1/keys", "id", None),
        ("/v1/datasets", "id", True),
        ("/v1/jobs", "id", True),
        ("/v1/models", "id", True),
        ("/v1/models/penguins/versions", "version", True),
        ("/v1/audit", "seq", False),
        ("/v1/specs", "name", False),
        ("/v1/specs/declared/versions", "version", True),
        ("/v1/projects", "id", True),
    ],
)
def test_a_list_is_walked_page_by_page(
    client: TestClient, filled: str, path: str, key: str, newest_first: bool | None
) -> None:
    whole = client.get(f"{path}?limit=1000").json()
    names = [item[key] for item in whole["data"]]
    assert whole["has_more"] is False
    assert len(names) == len(set(names)) > 0
    assert (whole["first_id"], whole["last_id"]) == (str(names[0]), str(names[-1]))
    assert [names == sorted(names, reverse=bool(newest_first))] == [True]
    for limit in (1, 2, len(names), len(names) + 1):
        assert [item[key] for item in walk(client, path, limit=limit)] == names


def test_an_empty_page_has_no_ends(client: TestClient) -> None:
    page = client.get("/v1/jobs").json()
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_page_has_twenty_items_unless_asked(client: TestClient) -> None:
    for number in range(21):
        client.post("/v1/keys", json={"name": f"k{number}", "scopes": ["read"]})
    page = client.get("/v1/keys").json()
    assert (len(page["data"]), page["has_more"]) == (20, True)


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/datasets", "/v1/jobs", "/v1/models", "/v1/audit", "/v1/projects"])
def test_a_cursor_of_another_list_is_refused(client: TestClient, path: str) -> None:
    for cursor in ("ckpt_1", "..", "'; DROP TABLE keys", "9" * 30, "ä", "%20"):
        assert_problem(client.get(path, params={"after": cursor}), 400, "invalid-cursor")


def test_a_cursor_from_another_project_tells_nothing(client: TestClient, stranger: dict[str, str], filled: str) -> None:
    page = client.get(f"/v1/jobs?after={filled}", headers=stranger).json()
    assert (page["data"], page["has_more"]) == ([], False)


def test_unknown_parameters_of_a_list_are_ignored_and_filters_are_not(client: TestClient, filled: str) -> None:
    assert len(client.get("/v1/datasets?name=data1").json()["data"]) == 1
    assert client.get("/v1/datasets?name=nothing").json()["data"] == []
    assert {job["status"] for job in client.get("/v1/jobs?status=queued").json()["data"]} == {"queued"}
    assert {job["model"] for job in client.get("/v1/jobs?model=model1").json()["data"]} == {"model1"}


def test_a_poll_that_finds_no_change_is_304(app: FastAPI, client: TestClient, filled: str) -> None:
    first = client.get(f"/v1/jobs/{filled}")
    etag = first.headers["etag"]
    assert first.headers["retry-after"] == "1"
    for given in (etag, f'W/{etag}, "x"', "*"):
        again = client.get(f"/v1/jobs/{filled}", headers={"if-none-match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(f"/v1/jobs/{filled}", headers={"if-none-match": '"0.0"'}).status_code == 200
    client.post(f"/v1/jobs/{filled}/cancel")
    changed = client.get(f"/v1/jobs/{filled}", headers={"if-none-match": etag})
    assert (changed.status_code, changed.json()["status"]) == (200, "cancelled")
    assert "retry-after" not in changed.headers


def end_soon(app: FastAPI, job_id: str, seconds: float) -> threading.Thread:
    """Fail a job after a while, as a worker would."""

    def end() -> None:
        time.sleep(seconds)
        with app.state.sessions.begin() as session:
            job = queue.claim(session, "test")
            assert job is not None
            queue.fail(session, Lease(job.id, job.lease_epoch), {"code": "x", "message": "m", "pointer": None})

    thread = threading.Thread(target=end)
    thread.start()
    return thread


@pytest.mark.parametrize("header", ["wait=20", "respond-async, wait=20", "wait = 20; x"])
def test_a_held_request_answers_when_the_job_has_ended(
    app: FastAPI, client: TestClient, owner: Principal, dataset_id: str, header: str
) -> None:
    job_id = store_job(app, owner, dataset_id)
    thread, started = end_soon(app, job_id, 0.3), time.monotonic()
    answer = client.get(f"/v1/jobs/{job_id}", headers={"prefer": header})
    thread.join()
    assert answer.json()["status"] == "failed"
    assert 0.2 < time.monotonic() - started < 10


def test_a_held_create_answers_with_the_end(app: FastAPI, client: TestClient, dataset_id: str) -> None:
    def fail_it() -> None:
        while True:
            with app.state.sessions.begin() as session:
                if (job := queue.claim(session, "test")) is not None:
                    queue.fail(session, Lease(job.id, job.lease_epoch), {"code": "x", "message": "m", "pointer": None})
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=fail_it)
    thread.start()
    body = {"dataset": dataset_id, "target": "species"}
    answer = client.post("/v1/jobs", json=body, headers={"prefer": "wait=20"})
    thread.join()
    assert (answer.status_code, answer.json()["status"]) == (201, "failed")
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert job_status(app, answer.json()["id"]) == "failed"


def test_a_wait_ends_on_time(client: TestClient, filled: str) -> None:
    started = time.monotonic()
    answer = client.get(f"/v1/jobs/{filled}", headers={"prefer": "wait=1"})
    assert answer.json()["status"] == "queued"
    assert 0.9 < time.monotonic() - started < 5


@pytest.mark.parametrize("header", ["wait=x", "wait=-1", "wait", "await=9", "wait=9999999999"])
def test_an_odd_preference_is_no_preference(client: TestClient, filled: str, header: str) -> None:
    started = time.monotonic()
    assert client.get(f"/v1/jobs/{filled}", headers={"prefer": header}).status_code == 200
    assert time.monotonic() - started < 2


def test_the_wait_is_bounded_by_the_setting(app: FastAPI, client: TestClient, filled: str) -> None:
    app.state.settings = app.state.settings.model_copy(update={"max_wait_seconds": 0.2})
    started = time.monotonic()
    assert client.get(f"/v1/jobs/{filled}", headers={"prefer": "wait=600"}).status_code == 200
    assert time.monotonic() - started < 3


def test_a_job_of_another_project_is_not_waited_for(client: TestClient, stranger: dict[str, str], filled: str) -> None:
    started = time.monotonic()
    assert client.get(f"/v1/jobs/{filled}", headers=stranger | {"prefer": "wait=20"}).status_code == 404
    assert time.monotonic() - started < 5


def test_every_job_of_the_database_is_in_the_list(app: FastAPI, client: TestClient, filled: str) -> None:
    with app.state.read_sessions.begin() as session:
        assert len(client.get("/v1/jobs?limit=1000").json()["data"]) == session.query(JobRow).count()
