"""Long work followed from outside: held polls and server-sent events, both replayed from the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson
from starlette.concurrency import run_in_threadpool

POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 15.0
PAGE = 500

Row = TypeVar("Row")


class Event(Protocol):
    """A numbered event as clients see it."""

    seq: int
    type: str

    def model_dump_json(self) -> str:
        """The event as JSON."""


@dataclass(frozen=True)
class Look:
    """How the work is at one moment, and the events after those already sent, at most a page of them.

    `unnumbered` are named messages beside the numbered record, such as new points of a curve.
    """

    id: str
    status: str
    revision: int
    has_ended: bool
    progress: dict[str, Any]
    events: Sequence[Event]
    unnumbered: Sequence[tuple[str, dict[str, Any]]] = ()


async def wait_until(read: Callable[[], Row], has_ended: Callable[[Row], bool], *, seconds: float) -> Row:
    """What `read` gives once it has ended, or as it is after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        row = await run_in_threadpool(read)
        left = deadline - time.monotonic()
        if has_ended(row) or left <= 0:
            return row
        await asyncio.sleep(min(POLL_SECONDS, left))


async def stream(
    look: Callable[[int], Look], *, after: int, still_allowed: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """The events after a number as server-sent events, then a last one named `done`.

    Progress is sent as events named `progress` without an id, as they are not part of the numbered record.
    """
    yield b"retry: 1000\n\n"
    last_sent, last_revision = time.monotonic(), -1
    while await still_allowed():
        now = await run_in_threadpool(look, after)
        for event in now.events:
            yield _message(event.type, event.model_dump_json().encode(), event.seq)
            after = event.seq
        if now.revision != last_revision and now.progress:
            yield _message("progress", orjson.dumps(now.progress))
        for name, data in now.unnumbered:
            yield _message(name, orjson.dumps(data))
        if now.events or now.revision != last_revision:
            last_sent, last_revision = time.monotonic(), now.revision
        if len(now.events) == PAGE:
            continue
        if now.has_ended:
            yield _message("done", orjson.dumps({"id": now.id, "status": now.status}))
            return
        if time.monotonic() - last_sent > HEARTBEAT_SECONDS:
            yield b": still here\n\n"
            last_sent = time.monotonic()
        await asyncio.sleep(POLL_SECONDS)


def _message(name: str, data: bytes, number: int | None = None) -> bytes:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + data + b"\n\n"
