"""uvicorn's HTTP protocol with what it leaves out: limits on the size and the time of heads and bodies, one Host."""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.settings import Settings
from app.web.problems import MEDIA_TYPE

MAX_FIELDS = 100
# The parser hands headers over one by one but buffers a body's chunk sizes itself: a body of one-byte chunks costs
# a callback each, so their number is bounded as well.
BYTES_PER_CHUNK = 64
FREE_CHUNKS = 1024


class LimitedProtocol(HttpToolsProtocol):
    """The protocol; `protocol_class` makes one with limits."""

    max_head_bytes: int
    head_timeout_seconds: float
    body_timeout_seconds: float
    _num_hosts: int

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer: TimerHandle | None = None
        self._deadline: float | None = None
        self._num_begun = 0
        self._is_between = True
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch(None)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        # The head that all of these bytes belong to, if they leave it unfinished.
        head = self._num_begun + self._is_between if self._in_head else None
        super().data_received(data)
        # The parser keeps an unfinished header to itself, so its bytes are counted here; those that share a chunk with
        # the end of an earlier request are not, as nobody knows how many they are.
        if self._in_head and not self._is_between and self._num_begun == head:
            self._num_head_bytes += len(data)
            self._check_head()
        if self._deadline is None and not self.transport.is_closing() and not self.is_answering():
            # Bytes that begin no request, such as an empty line, have ended uvicorn's own patience with idle clients.
            self._watch(self.head_timeout_seconds)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._num_begun += 1
        self._is_between = False
        self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # After the body it would join the headers that the request was admitted with.
            self._refuse(400, "malformed-request", "Headers after the body are not read.")
            return
        name = name.lower()
        if name == b"host":
            self._num_hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._num_head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._check_head()
        if not self.transport.is_closing() and self._num_hosts != 1:
            self._refuse(400, "malformed-request", "A request needs exactly one Host header.")
        if self.transport.is_closing():
            return
        self.begin()
        self._in_head = False
        self._watch(self.body_timeout_seconds)

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        self._num_chunks += 1
        self._num_body_bytes += len(body)
        if self._num_chunks > FREE_CHUNKS + self._num_body_bytes // BYTES_PER_CHUNK:
            self._refuse(400, "malformed-request", "The body arrives in too many tiny chunks.")
            return
        self.receive(body)
        self._watch(self.body_timeout_seconds)

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return
        self._watch(None)
        self.complete()
        self._in_head = self._is_between = True

    def begin(self) -> None:
        """Begin to answer a request, whose head is within the limits."""
        super().on_headers_complete()

    def receive(self, body: bytes) -> None:
        """Take a piece of its body."""
        super().on_body(body)

    def complete(self) -> None:
        """Take it that all of it has come."""
        super().on_message_complete()

    def is_answering(self) -> bool:
        """Whether somebody works on an answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed-request", "This is not an HTTP request that the server can read.")

    def _begin_head(self) -> None:
        self._in_head = True
        self._num_head_bytes = self._num_hosts = self._num_chunks = self._num_body_bytes = 0
        self._watch(self.head_timeout_seconds)

    def _check_head(self) -> None:
        too_many = self.headers is not None and len(self.headers) > MAX_FIELDS
        if self._num_head_bytes > self.max_head_bytes or too_many:
            self._refuse(431, "headers-too-large", "The request line and headers are too large.")

    def _watch(self, timeout_seconds: float | None) -> None:
        """Give the client so long, from now, for what comes next; None: for ever."""
        # The timer looks at the deadline when it rings, and is set again if that has moved: setting one for each step
        # of each request would take longer than reading it.
        self._deadline = None if timeout_seconds is None else self.loop.time() + timeout_seconds
        if self._timer is None and timeout_seconds is not None:
            self._timer = self.loop.call_later(timeout_seconds, self._ring)
        elif self._timer is not None and self._deadline is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self.loop.call_later(timeout_seconds or 0.0, self._ring)

    def _ring(self) -> None:
        self._timer = None
        left = None if self._deadline is None else self._deadline - self.loop.time()
        if left is None:
            return
        if left > 0:
            self._timer = self.loop.call_later(left, self._ring)
        else:
            self._deadline = None
            self._time_out()

    def _time_out(self) -> None:
        if self.flow is not None and self.flow.read_paused:
            # The application is behind, not the client.
            self._watch(self.body_timeout_seconds)
            return
        self._refuse(408, "request-timeout", "The request did not arrive in time.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        if self.transport.is_closing():
            return
        cycle = self.cycle
        # While a head is read the last cycle is an earlier request; while a body is read it is this one.
        answering = cycle is not None and (not cycle.response_complete if self._in_head else cycle.response_started)
        if not answering:
            title = STATUS_LINE[status][13:-2].decode()
            error = {"message": detail, "type": "invalid_request_error", "param": None, "code": code}
            body = orjson.dumps(
                {
                    "type": f"/problems/{code}",
                    "title": title,
                    "status": status,
                    "detail": detail,
                    "request_id": "",
                    "errors": [],
                    "error": error,
                }
            )
            head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


def protocol_class(base: type[LimitedProtocol], settings: Settings, **attributes: Any) -> type[LimitedProtocol]:
    """A protocol class with the limits of these settings."""
    limits = {
        "max_head_bytes": settings.max_head_bytes,
        "head_timeout_seconds": settings.head_timeout_seconds,
        "body_timeout_seconds": settings.body_timeout_seconds,
    }
    return type(base.__name__, (base,), limits | attributes)
