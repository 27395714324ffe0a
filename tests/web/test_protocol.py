"""The server's socket: heads and bodies that are too big, too slow or too odd, and good clients that notice nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.processes import Server
from tests.sockets import Line

HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
BOTH = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
TIMEOUT_SECONDS = 1.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that waits for a second."""
    environment = {
        "MAAS_HEAD_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "MAAS_BODY_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        "MAAS_EMBEDDED_WORKER": "false",
    }
    server = Server(tmp_path_factory.mktemp("served"), environment).start()
    yield server
    server.end()


def refused(server: Server, data: bytes, status: int) -> dict[str, Any]:
    """The problem that these bytes get, after which the connection is closed."""
    with Line(server) as line:
        line.send(data)
        got, headers, body = line.answer()
        assert (got, headers["content-type"], headers["connection"]) == (status, "application/problem+json", "close")
        assert line.is_closed()
    problem: dict[str, Any] = json.loads(body)
    assert (problem["status"], problem["type"]) == (status, f"/problems/{problem['error']['code']}")
    assert set(problem) == {"type", "title", "status", "detail", "request_id", "errors", "error"}
    assert_well(server)
    return problem


def assert_well(server: Server) -> None:
    """The server still answers."""
    with Line(server) as line:
        line.send(GET)
        assert line.answer()[0] == 200


def memory_bytes(server: Server) -> int:
    """What the API process holds."""
    assert server.process is not None
    return int(psutil.Process(server.process.pid).memory_info().rss)


ODD_HEADS = {
    "two-hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
    "two-equal-hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "no-host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "no-host-1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "http-0.9": b"GET /healthz\r\n\r\n",
    "http-9.9": b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
    "no-colon": b"GET /healthz HTTP/1.1\r\nHost\r\n\r\n",
    "space-before-colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    "nul-in-header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "two-lengths": b"POST /v1/keys HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length-and-chunks": b"POST /v1/keys HTTP/1.1\r\n" + HOST + BOTH,
    "odd-length": b"POST /v1/keys HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "space-in-path": b"GET /health z HTTP/1.1\r\n" + HOST + b"\r\n",
    "bare-newline-header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\x01\r\n\r\n",
}  # fmt: skip
BIG_HEADS = {
    "one-header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "endless-header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100_000,
    "endless-name": b"GET /healthz HTTP/1.1\r\n" + HOST + b"x" * 100_000,
    "many-headers": b"GET /healthz HTTP/1.1\r\n" + HOST + b"".join(b"X%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    "hundred-and-one": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 100 + b"\r\n",
    "path": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "endless-path": b"GET /" + b"x" * 100_000,
}


@pytest.mark.parametrize("name", ODD_HEADS)
def test_an_odd_head_is_400(server: Server, name: str) -> None:
    refused(server, ODD_HEADS[name], 400)


@pytest.mark.parametrize("name", BIG_HEADS)
def test_a_big_head_is_431(server: Server, name: str) -> None:
    refused(server, BIG_HEADS[name], 431)


def test_a_head_within_the_limits_is_read(server: Server) -> None:
    with Line(server) as line:
        line.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 99 + b"\r\n")
        assert line.answer()[0] == 200
        line.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 30_000 + b"\r\n\r\n")
        assert line.answer()[0] == 200


def test_big_heads_take_no_memory(server: Server) -> None:
    refused(server, BIG_HEADS["endless-header"], 431)
    before = memory_bytes(server)
    for _ in range(20):
        with Line(server) as line:
            line.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 5_000_000)
    assert_well(server)
    assert memory_bytes(server) - before < 20_000_000


@pytest.mark.parametrize(
    "half",
    [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\n" + HOST, b"\r\n", GET[:-2]],
    ids=["nothing", "line", "header", "newline", "almost"],
)
def test_half_a_head_and_then_silence_is_408(server: Server, half: bytes) -> None:
    started = time.monotonic()
    assert refused(server, half, 408)["error"]["code"] == "request-timeout"
    assert TIMEOUT_SECONDS * 0.9 < time.monotonic() - started < TIMEOUT_SECONDS + 5


@pytest.mark.parametrize("half", [b"GET /hea", b"\r\n"], ids=["line", "newline"])
def test_half_a_second_request_and_then_silence_is_408_too(server: Server, half: bytes) -> None:
    with Line(server) as line:
        line.send(GET)
        assert line.answer()[0] == 200
        line.send(half)
        assert line.answer()[0] == 408
        assert line.is_closed()


def test_a_head_that_drips_is_cut_off_on_time(server: Server) -> None:
    started = time.monotonic()
    with Line(server) as line:
        line.socket.settimeout(0.1)
        for letter in GET * 100:
            line.send(bytes([letter]))
            try:
                if line.socket.recv(100):
                    break
            except TimeoutError:
                continue
    assert time.monotonic() - started < TIMEOUT_SECONDS + 3


def post(server: Server, body: bytes, *headers: bytes, path: bytes = b"/v1/keys") -> bytes:
    """A request with a good key."""
    key = f"Authorization: Bearer {server.key}\r\n".encode()
    more = b"".join(header + b"\r\n" for header in headers)
    return (
        b"POST " + path + b" HTTP/1.1\r\n" + HOST + key + b"Content-Type: application/json\r\n" + more + b"\r\n" + body
    )


def test_a_body_that_stops_is_408(server: Server) -> None:
    for data in (
        post(server, b'{"na', b"Content-Length: 100"),
        post(server, b"5\r\n{", b"Transfer-Encoding: chunked"),
        post(server, b"", b"Transfer-Encoding: chunked"),
    ):
        assert refused(server, data, 408)["error"]["code"] == "request-timeout"


def test_a_body_of_tiny_chunks_is_refused(server: Server) -> None:
    chunks = b"1\r\n \r\n" * 100_000
    refused(server, post(server, chunks, b"Transfer-Encoding: chunked"), 400)


def test_a_body_of_fair_chunks_is_read(server: Server) -> None:
    body = b'{"name": "k", "scopes": ["read"]}' + b" " * 10_000
    chunks = b"".join(b"64\r\n" + body[n : n + 100].ljust(100) + b"\r\n" for n in range(0, len(body), 100))
    with Line(server) as line:
        line.send(post(server, chunks + b"0\r\n\r\n", b"Transfer-Encoding: chunked"))
        assert line.answer()[0] == 201


def test_headers_after_the_body_are_refused(server: Server) -> None:
    trailers = b"0\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + b"\r\n"
    refused(server, post(server, b"2\r\n{}\r\n" + trailers, b"Transfer-Encoding: chunked"), 400)


def test_an_endless_chunk_extension_ends(server: Server) -> None:
    refused(server, post(server, b"2;" + b"x" * 200_000, b"Transfer-Encoding: chunked"), 408)


def test_who_waits_for_a_word_before_the_body_gets_one(server: Server) -> None:
    body = b'{"name": "k", "scopes": ["read"]}'
    length = b"Content-Length: %d" % len(body)
    with Line(server) as line:
        line.send(post(server, b"", length, b"Expect: 100-continue"))
        assert line.answer()[0] == 100
        line.send(body)
        assert line.answer()[0] == 201


def test_who_may_not_send_a_body_is_told_before_it_comes(server: Server) -> None:
    with Line(server) as line:
        line.send(post(server, b"", b"Content-Length: 9999999", b"Expect: 100-continue"))
        assert line.answer()[0] == 413


def test_five_hundred_requests_on_one_connection_are_answered(server: Server) -> None:
    with Line(server) as line:
        for _ in range(500):
            line.send(GET)
            assert line.answer()[0] == 200


def test_requests_sent_at_once_are_answered_in_order(server: Server) -> None:
    paths = ["healthz", "nowhere", "readyz", "healthz", "nowhere"] * 10
    with Line(server) as line:
        line.send(b"".join(f"GET /{path} HTTP/1.1\r\n".encode() + HOST + b"\r\n" for path in paths))
        assert [line.answer()[0] for _ in paths] == [404 if path == "nowhere" else 200 for path in paths]


def test_a_thousand_requests_in_one_piece_are_answered(server: Server) -> None:
    with Line(server) as line:
        line.send(GET * 1000)
        assert [line.answer()[0] for _ in range(1000)] == [200] * 1000


def test_a_connection_may_be_idle_for_longer_than_a_head_may_take(server: Server) -> None:
    with Line(server) as line:
        for _ in range(2):
            line.send(GET)
            assert line.answer()[0] == 200
            time.sleep(TIMEOUT_SECONDS * 1.5)


def test_an_answer_that_takes_long_is_not_cut_off(server: Server) -> None:
    csv = b"a,b\n" + b"".join(b"%d,%s\n" % (n, b"xy"[n % 2 : n % 2 + 1]) for n in range(40))
    created = server.http.post("/v1/datasets?name=t", content=csv, headers={"content-type": "text/csv"})
    job = server.http.post("/v1/jobs", json={"dataset": created.json()["id"], "target": "b"}).json()["id"]
    started = time.monotonic()
    held = server.http.get(f"/v1/jobs/{job}", headers={"prefer": "wait=3"})
    assert (held.status_code, held.json()["status"]) == (200, "queued")
    assert time.monotonic() - started > 2.5
    seen = []
    with server.http.stream("GET", f"/v1/jobs/{job}/events", headers={"accept": "text/event-stream"}) as events:
        began = time.monotonic()
        for line in events.iter_lines():
            seen.append(line)
            if line == "event: status" and len(seen) < 10:
                time.sleep(TIMEOUT_SECONDS * 2)
                server.http.post(f"/v1/jobs/{job}/cancel")
    assert time.monotonic() - began > TIMEOUT_SECONDS * 1.5
    assert "event: done" in seen


def test_a_client_that_leaves_in_the_middle_is_not_an_error(server: Server) -> None:
    for _ in range(5):
        with Line(server) as line:
            line.send(post(server, b'{"na', b"Content-Length: 100"))
        with Line(server) as line:
            line.send(post(server, b"a,b\n1,2\n", b"Content-Length: 5000", path=b"/v1/datasets?name=x"))
    time.sleep(0.3)
    assert_well(server)
    assert "Traceback" not in (server.folder / "serve.log").read_text()
    assert list((server.folder / "incoming").iterdir()) == []
