"""The lane below ASGI: it answers what the ordinary way answers, in the same order, or leaves it to that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.settings import load
from app.web.express import express_protocol
from app.web.protocol import LimitedProtocol, protocol_class
from tests.sockets import Line
from tests.trained import ROW

PATH = "/v1/models/penguins@1/predict"
JSON = {"content-type": "application/json"}


class Seen:
    """A lane that counts what it takes."""

    def __init__(self, lane: Any) -> None:
        self.lane = lane
        self.num_taken = 0

    def take(self, *arguments: Any) -> bool:
        """Take a request, or not."""
        is_taken: bool = self.lane.take(*arguments)
        self.num_taken += is_taken
        return is_taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lane, name)


class Serving:
    """The application behind a protocol class, in a thread."""

    def __init__(self, app: FastAPI, protocol: type[LimitedProtocol]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        config = uvicorn.Config(
            app, http=protocol, loop="uvloop", ws="none", lifespan="off", log_config=None, access_log=False
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def end(self) -> None:
        """Stop it."""
        self.server.should_exit = True
        self.thread.join(20)
        # A look at the database that was under way is over soon; without a lifespan nobody waits for it.
        time.sleep(0.1)


@pytest.fixture
def lane(app: FastAPI) -> Seen:
    return Seen(app.state.express)


@pytest.fixture
def express(app: FastAPI, lane: Seen, version: int) -> Iterator[Serving]:
    serving = Serving(app, express_protocol(lane, app.state.settings))
    yield serving
    serving.end()


@pytest.fixture
def ordinary(app: FastAPI, version: int) -> Iterator[Serving]:
    serving = Serving(app, protocol_class(LimitedProtocol, app.state.settings))
    yield serving
    serving.end()


@contextlib.contextmanager
def calling(serving: Serving, key: str) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{serving.port}", headers=headers, timeout=20) as http:
        yield http


def body_of(answer: httpx.Response) -> Any:
    """What does not change from request to request."""
    told = answer.json()
    return {name: value for name, value in told.items() if name not in ("id", "request_id")}


def head_of(answer: httpx.Response) -> dict[str, str]:
    changing = ("date", "x-request-id", "server-timing", "content-length")
    return {name: value for name, value in answer.headers.items() if name not in changing}


def rows(*given: Any, **more: Any) -> bytes:
    return json.dumps({"rows": list(given), **more}).encode()


NAMES = list(ROW)
VALUES = list(ROW.values())
TAKEN: dict[str, tuple[bytes, dict[str, str]]] = {
    "a row by name": (rows(ROW), {}),
    "rows": (rows(*[ROW] * 16), {}),
    "a matrix": (json.dumps({"columns": NAMES, "data": [VALUES]}).encode(), {}),
    "a matrix in training order": (json.dumps({"data": [VALUES]}).encode(), {}),
    "an id": (rows(ROW, id="mine"), {}),
    "a request id": (rows(ROW), {"x-request-id": "abc"}),
    "an accepted type": (rows(ROW), {"accept": "application/json"}),
}
LEFT: dict[str, tuple[bytes, dict[str, str]]] = {
    "a missing value": (rows(ROW | {"sex": None}), {}),
    "an unseen category": (rows(ROW | {"island": "Iceland"}), {}),
    "an unknown column": (rows(ROW | {"colour": "red"}), {}),
    "a value beyond those in training": (rows(ROW | {"year": 3000}), {}),
    "a string for a number": (rows(ROW | {"year": "2008"}), {}),
    "a boolean for a number": (rows(ROW | {"year": True}), {}),
    "a row that is none": (rows(7), {}),
    "no rows": (rows(), {}),
    "too many rows": (rows(*[ROW] * 17), {}),
    "an option": (rows(ROW, top_k=1), {}),
    "an unknown member": (rows(ROW, colour=1), {}),
    "an id that is none": (rows(ROW, id=7), {}),
    "rows and data": (rows(ROW, data=[VALUES]), {}),
    "a ragged matrix": (json.dumps({"data": [VALUES, VALUES[1:]]}).encode(), {}),
    "columns in another order": (json.dumps({"columns": NAMES[::-1], "data": [VALUES[::-1]]}).encode(), {}),
    "no JSON": (b"{", {}),
    "a number too large": (rows(ROW).replace(b"2008", b"1e999"), {}),
    "a key given twice": (rows(ROW).replace(b'"year"', b'"year": 2008, "year"'), {}),
    "another type": (rows(ROW), {"content-type": "text/plain"}),
    "another answer": (rows(ROW), {"accept": "text/csv"}),
    "another origin": (rows(ROW), {"origin": "http://example.org"}),
    "another host": (rows(ROW), {"host": "example.org"}),
    "another key": (rows(ROW), {"authorization": "Bearer maas_unknown"}),
    "no bearer": (rows(ROW), {"authorization": "Basic eDp5"}),
    "an encoding": (rows(ROW), {"content-encoding": "br"}),
    "whom it is for": (rows(ROW), {"x-maas-sticky": "me"}),
}


@pytest.mark.parametrize("name", [*TAKEN, *LEFT])
def test_the_lane_answers_as_the_ordinary_way_does(
    express: Serving, ordinary: Serving, lane: Seen, admin_key: str, name: str
) -> None:
    content, headers = {**TAKEN, **LEFT}[name]
    with calling(express, admin_key) as http, calling(ordinary, admin_key) as other:
        for each in (http, other):
            each.post(PATH, content=rows(ROW), headers=JSON).raise_for_status()
        before = lane.num_taken
        mine = http.post(PATH, content=content, headers=JSON | headers)
        theirs = other.post(PATH, content=content, headers=JSON | headers)
    assert (mine.status_code, head_of(mine)) == (theirs.status_code, head_of(theirs))
    if theirs.headers["content-type"].endswith("json"):
        assert body_of(mine) == body_of(theirs)
    assert lane.num_taken - before == (name in TAKEN)


def test_the_limits_of_predictions_are_those_of_the_lane(
    app: FastAPI, lane: Seen, admin_key: str, ordinary: Serving, tmp_path: Path
) -> None:
    small = load(environ={}, data_dir=tmp_path, max_predict_bytes=1024)
    lane.lane._max_rows = 2
    serving = Serving(app, express_protocol(lane, small))
    try:
        warm(serving, admin_key)
        before = lane.num_taken
        with calling(serving, admin_key) as http:
            for content in (rows(ROW, ROW), rows(*[ROW] * 3), rows(ROW, id="x" * 200) + b" " * 1024):
                http.post(PATH, content=content, headers=JSON)
        assert lane.num_taken - before == 1
    finally:
        serving.end()


def request(content: bytes, key: str, *, path: str = PATH, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n{more}"
    return f"{head}content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content


GET = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


def warm(express: Serving, key: str) -> None:
    """Let key and version be remembered."""
    with calling(express, key) as http:
        for _ in range(2):
            http.post(PATH, content=rows(ROW), headers=JSON).raise_for_status()


def test_pipelined_requests_are_answered_in_their_order(express: Serving, lane: Seen, admin_key: str) -> None:
    warm(express, admin_key)
    before = lane.num_taken
    ids = [f"r{number}" for number in range(6)]
    asked = b"".join(request(rows(ROW, id=each), admin_key) + GET for each in ids)
    asked += request(rows(ROW | {"sex": None}, id="late"), admin_key) + request(rows(ROW, id="last"), admin_key)
    with Line(express) as line:
        line.send(asked)
        answers = [json.loads(line.answer()[2]) for _ in range(2 * len(ids) + 2)]
    assert [each["id"] for each in answers if "id" in each] == [*ids, "late", "last"]
    assert [("id" in each) for each in answers] == [True, False] * len(ids) + [True, True]
    assert lane.num_taken > before


def test_a_body_that_comes_in_pieces_is_answered_when_it_is_whole(express: Serving, lane: Seen, admin_key: str) -> None:
    warm(express, admin_key)
    before, asked = lane.num_taken, request(rows(ROW), admin_key)
    with Line(express) as line:
        for start in range(0, len(asked), 60):
            line.send(asked[start : start + 60])
            time.sleep(0.005)
        assert line.answer()[0] == 200
        line.send(asked)
        assert line.answer()[0] == 200
    assert lane.num_taken == before + 2


def test_a_client_that_wants_to_leave_is_let_go(express: Serving, lane: Seen, admin_key: str) -> None:
    warm(express, admin_key)
    before = lane.num_taken
    with Line(express) as line:
        line.send(request(rows(ROW), admin_key, more="connection: close\r\n"))
        status, headers, _ = line.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert line.is_closed()
    assert lane.num_taken == before + 1


def test_many_at_once_each_get_their_own_answer(
    express: Serving, ordinary: Serving, lane: Seen, admin_key: str
) -> None:
    bodies = [rows(ROW | {"bill_length_mm": 35 + number / 4}, id=str(number)) for number in range(64)]
    with calling(ordinary, admin_key) as http:
        expected = [body_of(http.post(PATH, content=each, headers=JSON)) for each in bodies]

    async def ask() -> list[httpx.Response]:
        headers = JSON | {"authorization": f"Bearer {admin_key}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{express.port}", headers=headers) as http:
            return await asyncio.gather(*(http.post(PATH, content=each) for each in bodies))

    warm(express, admin_key)
    before = lane.num_taken
    answers = asyncio.run(ask())
    assert [each.json()["id"] for each in answers] == [str(number) for number in range(64)]
    assert lane.num_taken > before
    for answer, known in zip(answers, expected, strict=True):
        # A batch of another size is computed in another order.
        got = body_of(answer)["predictions"][0]
        assert got["label"] == known["predictions"][0]["label"]
        assert got["probabilities"] == pytest.approx(known["predictions"][0]["probabilities"], abs=1e-6)


def test_a_revoked_key_is_not_answered_for_longer_than_a_second(
    express: Serving, admin_key: str, new_key: Callable[..., dict[str, str]]
) -> None:
    key = new_key("predict")["authorization"].removeprefix("Bearer ")
    with calling(express, key) as http, calling(express, admin_key) as admin:
        assert http.post(PATH, content=rows(ROW), headers=JSON).status_code == 200
        mine = next(each for each in admin.get("/v1/keys").json()["data"] if each["name"] == "test")
        admin.delete(f"/v1/keys/{mine['id']}").raise_for_status()
        time.sleep(1)
        assert http.post(PATH, content=rows(ROW), headers=JSON).status_code == 401


def test_a_stopping_server_answers_what_has_come(express: Serving, admin_key: str) -> None:
    warm(express, admin_key)
    asked = request(rows(ROW), admin_key)
    with Line(express) as line:
        line.send(asked[:-20])
        time.sleep(0.1)
        express.server.should_exit = True
        time.sleep(0.3)
        line.send(asked[-20:])
        assert line.answer()[0] == 200
        assert line.is_closed()


def test_answers_of_the_lane_are_counted_and_timed(express: Serving, lane: Seen, admin_key: str) -> None:
    warm(express, admin_key)
    with calling(express, admin_key) as http:
        answer = http.post(PATH, content=rows(ROW), headers=JSON)
        stages = [each.split(";dur=") for each in answer.headers["server-timing"].split(", ")]
        assert [name for name, _ in stages] == ["parse", "queue", "compute", "serialise"]
        assert all(float(milliseconds) >= 0 for _, milliseconds in stages)
        told = http.get("/metrics").text
    line = 'maas_requests_total{method="POST",route="/v1/models/{reference}/predict",status="200"}'
    assert float(next(each for each in told.splitlines() if each.startswith(line)).split()[-1]) == 3
    assert lane.num_taken >= 2
