"""The way below ASGI: requests that a lane can answer from memory are answered when the event loop turns.

A lane sees a request twice: its head, when it says whether the body is worth waiting for, and the whole, when it takes
it or not. What it does not take goes the ordinary way, as if nobody had looked: every refusal has one origin. Limits of
heads and bodies, time-outs, the order of pipelined answers, the pressure of a slow reader and the end of the server are
those of the ordinary way, too; a connection with anything unfinished on it is left to that.
"""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.settings import Settings
from app.web.edge import DEFAULT_HEADERS, is_allowed, request_id_for
from app.web.protocol import LimitedProtocol, protocol_class

# The few rows that a lane takes fit; what is longer would be read twice.
MAX_BODY_BYTES = 16 * 1024
JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
ANYTHING = (b"*/*", b"application/json", b"application/json, */*;q=0.5", b"application/json, text/plain, */*")
# With one of these headers a request asks for something that is not done here.
UNUSUAL = frozenset(
    {
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"origin",
        b"prefer",
        b"x-maas-sticky",
        b"content-length",
        b"x-request-id",
    }
)
HEAD = STATUS_LINE[200] + b"content-type: application/json\r\n"
HEAD += b"".join(b"%b: %b\r\n" % header for header in DEFAULT_HEADERS.items())


class Usual(NamedTuple):
    """A head that asks for what a lane does, with nothing unusual about it."""

    url: bytes
    asked: Any
    token: str


class Lane(Protocol):
    """What answers requests from memory."""

    def admit(self, path: bytes) -> Any:
        """What a path asks for, if a POST there may be answered when its body has come, or None."""

    def recognise(self, token: str) -> Any:
        """Who holds a token, or None: whoever may not ask is refused before the body is read."""

    def take(self, asked: Any, caller: Any, request_id: str, body: bytes, connection: Any, began: float) -> bool:
        """Whether `connection` will be given its answer at the next `flush`, which comes by itself in this turn."""

    def flush(self) -> None:
        """Answer all that was taken."""


class ExpressProtocol(LimitedProtocol):
    """The protocol with a lane; `hosts` are those that it answers for, None for all."""

    lane: Lane
    hosts: frozenset[str] | None
    max_body_bytes: int

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._asked: Any = None
        self._usual: Usual | None = None
        self._head: list[tuple[bytes, bytes]] = []
        self._waits = False
        self._keeps_alive = True
        self._caller: Any = None
        self._request_id, self._began, self._body = "", 0.0, b""
        self._length: bytes | None = None
        self._given_id: bytes | None = None

    def on_message_begin(self) -> None:
        if self._waits:
            self.lane.flush()
        super().on_message_begin()
        self._last, self._head = self._head, []
        self._length = self._given_id = None

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        name = name.lower()
        # All of the head but what changes from request to request, which may come once.
        if name == b"content-length" and self._length is None:
            self._length = value
        elif name == b"x-request-id" and self._given_id is None:
            self._given_id = value
        else:
            self._head.append((name, value))

    def begin(self) -> None:
        self._asked = self._look()
        if self._asked is None:
            super().begin()
        else:
            self._body = b""

    def _look(self) -> Any:
        """What is asked for, if the head of the request is as usual as can be."""
        length = self._length
        is_free = (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused
        if not is_free or length is None or not length.isdigit() or int(length[:12]) > self.max_body_bytes:
            return None
        self._began = perf_counter()
        usual = self._usual
        # A client that stays says the same again and again.
        if usual is None or usual.url != self.url or self._head != self._last:
            usual = self._usual = self._read_head()
        if usual is None or self.parser.get_method() != b"POST":
            return None
        self._caller = self.lane.recognise(usual.token)
        if self._caller is None:
            return None
        self._request_id = request_id_for([self._given_id] if self._given_id is not None else [])
        return usual.asked

    def _read_head(self) -> Usual | None:
        asked, headers = self.lane.admit(self.url), dict(self._head)
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        is_usual = (
            asked is not None
            and self.parser.get_http_version() == "1.1"
            and len(headers) == len(self._head)
            and UNUSUAL.isdisjoint(headers)
            and headers.get(b"content-type") in JSON
            and headers.get(b"accept", b"*/*") in ANYTHING
            and scheme.lower() == b"bearer"
            and is_allowed(headers[b"host"], self.hosts)
        )
        return Usual(self.url, asked, token.strip().decode("latin-1")) if is_usual else None

    def receive(self, body: bytes) -> None:
        if self._asked is None:
            super().receive(body)
        else:
            self._body += body

    def complete(self) -> None:
        if self._asked is None:
            super().complete()
            return
        asked, self._asked = self._asked, None
        self._keeps_alive = self.parser.should_keep_alive()
        self._waits = self.lane.take(asked, self._caller, self._request_id, self._body, self, self._began)
        if not self._waits:
            self._go_on()

    def answer(self, request_id: str, timing: str, body: bytes) -> None:
        """Send an answer: head and body in one write."""
        self._waits = False
        if self.transport.is_closing():
            return
        more = _drawn(tuple(self.server_state.default_headers))
        if not self._keeps_alive:
            more += b"connection: close\r\n"
        told = f"x-request-id: {request_id}\r\nserver-timing: {timing}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(b"".join((HEAD, more, told.encode(), body)))
        if not self._keeps_alive:
            self.transport.close()
        self.on_response_complete()

    def decline(self) -> None:
        """Send a request that was taken the ordinary way after all."""
        self._waits = False
        if not self.transport.is_closing():
            self._go_on()
            # What the parser knew of this request is gone by now.
            self.cycle.keep_alive = self._keeps_alive

    def shutdown(self) -> None:
        if self._waits:
            self.lane.flush()
        if self._asked is not None:
            self._asked = None
            super().begin()
            super().receive(self._body)
        super().shutdown()

    def is_answering(self) -> bool:
        return self._waits or super().is_answering()

    def _go_on(self) -> None:
        super().begin()
        super().receive(self._body)
        super().complete()


@lru_cache(4)
def _drawn(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The headers that the server adds to all answers: the date, which changes once a second."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def express_protocol(lane: Lane, settings: Settings) -> type[LimitedProtocol]:
    """The protocol class with this lane and the limits of these settings."""
    max_body_bytes = min(MAX_BODY_BYTES, settings.max_predict_bytes)
    return protocol_class(ExpressProtocol, settings, lane=lane, hosts=settings.hosts, max_body_bytes=max_body_bytes)
