"""Bytes on their way in and out: digests that are checked and told, encodings that pass, blocks that keep order."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient

from app.datasets.receive import Received, receive
from app.storage import Storage
from app.streams import BLOCK_BYTES, Block, pour
from tests.counts import everything
from tests.test_errors import assert_problem

TABLE = b"color,size\nred,1\nblue,2.5\nred,\n"
CSV = {"content-type": "text/csv"}
FIELDS = ("content-digest", "repr-digest")


def field(content: bytes, algorithm: str = "sha-256") -> str:
    """A digest field of these bytes."""
    return f"{algorithm}=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def send(client: TestClient, content: bytes = TABLE, **headers: str) -> Any:
    """Upload with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/datasets?name=x", content=content, headers=CSV | named)


@pytest.mark.parametrize("name", FIELDS)
def test_bytes_that_are_what_their_digest_says_are_stored(client: TestClient, name: str) -> None:
    for value in (field(TABLE), f"sha-512=:AAAA:, {field(TABLE)}", f"{field(TABLE)};a=1", "md5=:AAAA:, crc32c=::"):
        answer = client.post("/v1/datasets?name=x", content=TABLE, headers=CSV | {name: value})
        assert answer.status_code == 201, answer.text
        assert answer.headers["server-timing"].startswith("receive;dur=")


@pytest.mark.parametrize("name", FIELDS)
def test_other_bytes_than_their_digest_says_are_not_stored(app: FastAPI, client: TestClient, name: str) -> None:
    before = everything(app)
    for content in (TABLE[:-1], TABLE + b"x", b""):
        answer = client.post("/v1/datasets?name=x", content=content, headers=CSV | {name: field(TABLE)})
        problem = assert_problem(answer, 422, "digest-mismatch")
        assert problem["errors"][0]["pointer"] == f"header:{name}"
    assert everything(app) == before


@pytest.mark.parametrize(
    "value", ["", "x", "sha-256", "sha-256=abc", "sha-256=:abc:", "sha-256=:AAAA:", "sha-256=:####:", "md5=:A:", ","]
)
def test_a_digest_that_is_none_is_400(client: TestClient, value: str) -> None:
    assert_problem(send(client, content_digest=value), 400, "malformed-digest")


def test_the_digest_of_a_form_is_that_of_the_whole_body(client: TestClient) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n'
    form, headers = head + TABLE + b"\r\n--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}
    good = client.post("/v1/datasets", content=form, headers=headers | {"content-digest": field(form)})
    assert (good.status_code, good.json()["sha256"]) == (201, hashlib.sha256(TABLE).hexdigest())
    bad = client.post("/v1/datasets", content=form, headers=headers | {"content-digest": field(TABLE)})
    assert_problem(bad, 422, "digest-mismatch")


def test_downloads_tell_the_digest_of_the_file_and_of_whole_answers(client: TestClient) -> None:
    path = f"/v1/datasets/{send(client).json()['id']}/content"
    whole = client.get(path)
    assert (whole.headers["repr-digest"], whole.headers["content-digest"]) == (field(TABLE), field(TABLE))
    part = client.get(path, headers={"range": "bytes=3-9"})
    assert (part.status_code, part.headers["repr-digest"]) == (206, field(TABLE))
    assert "content-digest" not in part.headers


@pytest.mark.parametrize(("encoding", "expected"), [("gzip", "gzip"), ("ZSTD", "zstd"), ("identity", None)])
def test_the_encoding_of_a_body_is_told_and_its_bytes_are_left_alone(
    app: FastAPI, encoding: str, expected: str | None
) -> None:
    storage: Storage = app.state.storage

    async def body() -> dict[str, Any]:
        return {"type": "http.request", "body": b"\x1f\x8b!", "more_body": False}

    headers = [(b"content-type", b"text/csv"), (b"content-encoding", encoding.encode())]
    with storage.receive() as incoming:
        received = asyncio.run(receive(Request({"type": "http", "headers": headers}, body), incoming))
        assert incoming.path.read_bytes() == b"\x1f\x8b!"
    assert received == Received("text/csv", None, b"\x1f\x8b!", expected)


def test_blocks_are_written_in_order_one_at_a_time_while_just_one_more_arrives() -> None:
    written, writing, arrived_meanwhile = bytearray(), threading.Lock(), []
    num_arrived, next_block = 0, threading.Event()

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal num_arrived
        for number in range(64):
            num_arrived += 1
            if num_arrived == 16:
                next_block.set()
            yield bytes([number]) * (BLOCK_BYTES // 8)
            await asyncio.sleep(0)

    def write(block: Block) -> None:
        assert writing.acquire(blocking=False), "two blocks at once"
        assert next_block.wait(10), "nothing arrives while a block is written"
        if not written:
            time.sleep(0.05)  # for more to arrive, if nothing held it back
            arrived_meanwhile.append(num_arrived)
        written.extend(b"".join(block))
        writing.release()

    asyncio.run(pour(pieces(), write))
    assert written == b"".join(bytes([number]) * (BLOCK_BYTES // 8) for number in range(64))
    assert arrived_meanwhile == [16]


@pytest.mark.parametrize("fault", ["write", "pieces", "cancel"])
def test_nothing_is_written_after_the_end_however_it_ends(fault: str) -> None:
    is_writing = threading.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(4):
            yield b"x" * BLOCK_BYTES
            if number == 1 and fault == "pieces":
                raise OSError(fault)
            await asyncio.sleep(0)

    def write(_: Block) -> None:
        is_writing.set()
        time.sleep(0.05)
        is_writing.clear()
        if fault == "write":
            raise OSError(fault)

    async def run() -> None:
        task = asyncio.create_task(pour(pieces(), write))
        await asyncio.sleep(0.02)
        if fault == "cancel":
            task.cancel()
        with pytest.raises((OSError, asyncio.CancelledError)):
            await task
        assert not is_writing.is_set()

    asyncio.run(run())
