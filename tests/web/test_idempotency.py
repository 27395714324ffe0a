"""Creates that may be repeated: one thing per key, whatever happens in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from app.tables import IdempotencyRow, KeyRow, Table
from tests.counts import everything
from tests.test_errors import assert_problem

KEY = {"name": "nightly", "scopes": ["read"]}
CSV = {"content-type": "text/csv"}


def once(word: str) -> dict[str, str]:
    """The header that makes a create repeatable."""
    return {"idempotency-key": word}


def num_keys(app: FastAPI) -> int:
    """Keys in the database."""
    with app.state.read_sessions.begin() as session:
        return int(session.scalars(select(func.count()).select_from(KeyRow)).one())


def test_the_same_request_again_gets_the_same_answer(app: FastAPI, client: TestClient) -> None:
    first = client.post("/v1/keys", json=KEY, headers=once("a"))
    before = everything(app)
    again = client.post("/v1/keys", json=KEY, headers=once("a"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json() | {"key": None}
    assert everything(app) == before


def test_without_the_header_every_request_makes_a_thing(app: FastAPI, client: TestClient) -> None:
    before = num_keys(app)
    assert {client.post("/v1/keys", json=KEY).status_code for _ in range(2)} == {201}
    assert num_keys(app) == before + 2


def test_another_request_under_the_same_key_is_refused(app: FastAPI, client: TestClient) -> None:
    client.post("/v1/keys", json=KEY, headers=once("a"))
    before = everything(app)
    answer = client.post("/v1/keys", json=KEY | {"name": "other"}, headers=once("a"))
    assert_problem(answer, 422, "idempotency-mismatch")
    assert everything(app) == before


def test_keys_of_other_callers_and_other_routes_are_other_keys(
    client: TestClient, stranger: dict[str, str], dataset_id: str
) -> None:
    first = client.post("/v1/keys", json=KEY, headers=once("a")).json()
    assert client.post("/v1/keys", json=KEY, headers=once("a") | stranger).json()["id"] != first["id"]
    job = {"dataset": dataset_id, "target": "species"}
    assert client.post("/v1/jobs", json=job, headers=once("a")).status_code == 201


def test_twenty_at_once_make_one_thing(app: FastAPI, client: TestClient) -> None:
    before, start = num_keys(app), threading.Barrier(20)

    def send(_: int) -> Any:
        start.wait()
        return client.post("/v1/keys", json=KEY, headers=once("a"))

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 19
    assert num_keys(app) == before + 1


def test_a_failing_create_stores_nothing_and_may_be_sent_again(app: FastAPI, client: TestClient) -> None:
    job = {"dataset": "ds_1", "target": "species"}
    before = everything(app)
    assert client.post("/v1/jobs", json=job, headers=once("a")).status_code == 404
    assert everything(app) == before
    assert client.post("/v1/jobs", json=job | {"target": "x"}, headers=once("a")).status_code == 404


def test_a_repeated_upload_is_one_data_set(app: FastAPI, client: TestClient) -> None:
    body = b"a,b\n1,2\n3,4\n5,6\n"
    send = {"content": body, "headers": CSV | once("u")}
    first = client.post("/v1/datasets?name=x", **send)
    before = everything(app)
    again = client.post("/v1/datasets?name=x", **send)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert everything(app) == before
    assert_problem(client.post("/v1/datasets?name=y", **send), 422, "idempotency-mismatch")
    other = client.post("/v1/datasets?name=x", content=body + b"7,8\n", headers=CSV | once("u"))
    assert_problem(other, 422, "idempotency-mismatch")


def test_the_text_of_a_key_is_nowhere_in_the_database(app: FastAPI, client: TestClient) -> None:
    secret = client.post("/v1/keys", json=KEY, headers=once("a")).json()["key"]
    assert client.get("/v1/keys", headers={"authorization": f"Bearer {secret}"}).status_code == 403
    parts = [secret, secret.split("_")[2], secret.split("_")[2][:43]]
    with app.state.read_sessions.begin() as session:
        for name in Table.metadata.tables:
            stored = str(session.execute(text(f"SELECT * FROM {name}")).all())
            assert not any(part in stored for part in parts), name
        assert session.scalars(select(func.count()).select_from(IdempotencyRow)).one() == 1


def test_an_answer_is_sent_only_after_its_thing_is_visible_to_others(app: FastAPI, client: TestClient) -> None:
    seen: list[bool] = []
    committed = threading.Event()
    event.listen(app.state.engine, "commit", lambda _: committed.set())

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.append(committed.is_set())
            await send(message)

        await app(scope, receive, watched)

    sent = TestClient(watching, base_url="http://127.0.0.1:8000", headers=dict(client.headers))
    for method, path, body in (("POST", "/v1/keys", KEY), ("DELETE", None, None)):
        committed.clear()
        path = path or client.get("/v1/keys").json()["data"][-1]["id"]
        sent.request(method, path if path.startswith("/") else f"/v1/keys/{path}", json=body)
    assert seen == [True, True]


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/v1/keys", KEY), ("DELETE", "/v1/keys/OTHER", None)])
def test_a_commit_that_fails_is_never_answered_with_success(
    app: FastAPI, client: TestClient, method: str, path: str, body: Any
) -> None:
    other = client.post("/v1/keys", json=KEY).json()["id"]
    before = client.get("/v1/keys").json()

    def fail(_: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("the disk is gone"))

    event.listen(app.state.engine, "commit", fail)
    answer = client.request(method, path.replace("OTHER", other), json=body)
    event.remove(app.state.engine, "commit", fail)
    assert_problem(answer, 503, "db-unavailable")
    assert answer.headers["retry-after"]
    assert client.get("/v1/keys").json()["data"] == before["data"]


def test_a_database_that_is_away_is_503(app: FastAPI, client: TestClient) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    assert client.get("/v1/keys").status_code == 200
    event.listen(app.state.engine, "before_cursor_execute", fail)
    answers = [
        client.get("/v1/keys"),
        client.post("/v1/keys", json=KEY),
        client.get("/readyz"),
        client.post("/v1/models/m/predict", json={"rows": [{}]}),
    ]
    event.remove(app.state.engine, "before_cursor_execute", fail)
    for answer in answers:
        assert_problem(answer, 503, "db-unavailable")
    assert client.get("/readyz").status_code == 200
