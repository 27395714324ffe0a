"""What happens to every request before routing: an id, the Host check, security headers, and no escaping exception."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from app.web import problems

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# On every answer, unless the route says otherwise.
DEFAULT_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
Observe = Callable[[Scope, int, float], None]


class Edge:
    """The outermost application."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None, observe: Observe) -> None:
        self.app = app
        self.hosts = hosts
        self.observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = request_id_for([value for name, value in scope["headers"] if name == b"x-request-id"])
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, is_complete = time.perf_counter(), 0, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_complete
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id)
            else:
                is_complete = not message.get("more_body", False)
            await send(message)

        try:
            refusal = self._refusal(scope, request_id)
            await (refusal or self.app)(scope, receive, send_with_headers)
        except Exception as error:
            problems.log.error("request %s failed", request_id, exc_info=error)
            if not status:
                await problems.internal(request_id, scope["path"])(scope, receive, send_with_headers)
            elif not is_complete:
                # The answer has begun: closing the connection is the only way left to say that it is broken.
                raise
        finally:
            self.observe(scope, status, time.perf_counter() - started)
        return None

    def _refusal(self, scope: Scope, request_id: str) -> ASGIApp | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"")
        if not is_allowed(host, self.hosts):
            return problems.render(
                request_id,
                path=scope["path"],
                status=421,
                code="misdirected-host",
                title="Misdirected request",
                detail="The Host header names a server that this is not; see the setting MAAS_ALLOWED_HOSTS.",
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and scope["method"] in UNSAFE_METHODS and origin.partition("://")[2] != host.decode("latin-1"):
            return problems.render(
                request_id,
                path=scope["path"],
                status=403,
                code="cross-origin",
                title="Cross-origin request",
                detail="A page of another origin may not change anything here.",
            )
        return None


def request_id_for(given: list[bytes]) -> str:
    """The id of a request: the one that the client gave, if it is one, or a new one."""
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return str(given[0], "ascii")
    return f"req_{uuid7().hex}"


@lru_cache(256)
def is_allowed(host: bytes, hosts: frozenset[str] | None) -> bool:
    """Whether a Host header names this server, at any port."""
    name, bracket, _ = host.decode("latin-1").lower().partition("]")
    return hosts is None or (name + bracket if bracket else name.partition(":")[0]) in hosts


def _add_headers(message: Message, request_id: str) -> None:
    given = {name for name, _ in message["headers"]}
    more = [(name, value) for name, value in DEFAULT_HEADERS.items() if name not in given]
    message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *more]
