"""The route class that every route uses: policy, then body limits, then strict JSON, then the endpoint.

FastAPI parses a JSON body before any dependency runs, so a dependency cannot authenticate first; a route class
can. A route without a policy cannot be constructed, and `check_policies` refuses whatever slipped past.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends
from fastapi.params import Form
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive

from app.errors import Forbidden, Invalid, NotFound, TooLarge, Unauthenticated, UnsupportedMedia
from app.principal import Principal, Scope
from app.settings import Settings
from app.web import strict_json
from app.web.decoding import WINDOW_BITS, decoded

# FastAPI asks of every type whether it is a model of pydantic 1; loading that, to say no, takes a tenth of a second.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]

Body = Literal["json", "predict", "upload"]
# Uploads are stored as they come and decompressed where they are parsed, in a sandbox; predictions here, bounded.
ENCODINGS: dict[Body, tuple[str, ...]] = {"json": (), "predict": tuple(WINDOW_BITS), "upload": ("gzip", "zstd")}
STICKY = "x-maas-sticky"
JSON_TYPE = re.compile(r"application/(?:[\w.-]+\+)?json")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True)
class Policy:
    """Who may call a route: the scope (None: anybody), whether keys bound to a model may, how big a body may be.

    `direct`: the endpoint takes the request alone and is called without FastAPI's machinery (see web/direct.py).
    """

    scope: Scope | None
    bound_keys: bool = False
    body: Body = "json"
    direct: bool = False


def allow(
    scope: Scope, *, bound_keys: bool = False, body: Body = "json", direct: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Let keys with this scope call the endpoint."""
    return _attach(Policy(scope, bound_keys, body, direct))


def allow_anybody(endpoint: Endpoint) -> Endpoint:
    """Let everybody call the endpoint, without a key."""
    return _attach(Policy(None))(endpoint)


def _attach(policy: Policy) -> Callable[[Endpoint], Endpoint]:
    def attach(endpoint: Endpoint) -> Endpoint:
        endpoint.__policy__ = policy  # type: ignore[attr-defined]
        return endpoint

    return attach


class PolicyRoute(APIRoute):
    """A route that knows who may call it before it reads a byte of the body."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        policy = getattr(endpoint, "__policy__", None)
        if policy is None:
            raise RuntimeError(f"the route {path} has no policy: decorate {endpoint.__name__} with @allow(scope)")
        self.policy: Policy = policy
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()
        reads_json = self.body_field is not None and not isinstance(self.body_field.field_info, Form)

        async def handler(request: Request) -> Response:
            request = await self.admit(request)
            if reads_json:
                await _read_json(request)
            return await inner(request)

        return handler

    async def admit(self, request: Request) -> Request:
        """The request with its principal and a bounded body. Raises: what says that it may not pass."""
        request.state.principal = await _authorise(request, self.policy)
        _refuse_nul(request)
        encoding = _encoding(request, self.policy.body)
        limit_bytes = _limit_bytes(request.app.state.settings, self.policy.body)
        receive = _limited(request, limit_bytes)
        if self.policy.body == "predict" and encoding != "identity":
            receive = decoded(receive, encoding, limit_bytes)
        return Request(request.scope, receive)


def router(tag: str) -> APIRouter:
    """A router whose routes need policies; the operation id of a route is the name of its function."""
    return APIRouter(route_class=PolicyRoute, tags=[tag], generate_unique_id_function=lambda route: route.name)


def check_policies(routes: Iterable[BaseRoute]) -> None:
    """Raise RuntimeError unless every route, however deeply included or mounted, has a policy."""
    for route in walk(routes):
        if not isinstance(route, PolicyRoute):
            raise RuntimeError(f"the route {getattr(route, 'path', route)} has no policy")


def walk(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Every route, however deeply included or mounted."""
    for route in routes:
        # An included router keeps its routes to itself; a mount hides an application, which may have none to show.
        included = getattr(route, "original_router", None)
        inside = included.routes if included is not None else getattr(route, "routes", None)
        if inside:
            yield from walk(inside)
        elif included is None:
            yield route


async def _authorise(request: Request, policy: Policy) -> Principal | None:
    if policy.scope is None:
        return None
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    authenticate: Callable[[str, str], Awaitable[Principal]] = request.app.state.authenticate
    principal = await authenticate(token.strip(), request.state.request_id)
    if not principal.may(policy.scope) or (principal.model and not policy.bound_keys):
        raise Forbidden(f"This key may not do that: it needs the scope '{policy.scope}'.")
    sticky = request.headers.get(STICKY)
    return replace(principal, sticky=sticky) if sticky else principal


def _refuse_nul(request: Request) -> None:
    # Postgres stores no NUL, so no id or name has one, and asking for it would be an error there.
    if "\0" in request.scope["path"]:
        raise NotFound("path", request.scope["path"].replace("\0", "%00"))
    if b"%00" in request.scope["query_string"] or b"\0" in request.scope["query_string"]:
        raise Invalid("A parameter holds a NUL character.", errors=[{"pointer": "query:", "detail": "NUL character"}])


def _encoding(request: Request, body: Body) -> str:
    readable = ("identity", *ENCODINGS[body])
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in readable:
        raise UnsupportedMedia(f"The Content-Encoding of this body must be one of: {', '.join(readable)}.")
    return encoding


def _limit_bytes(settings: Settings, body: Body) -> int:
    limits = {
        "json": settings.max_json_bytes,
        "predict": settings.max_predict_bytes,
        "upload": settings.max_upload_bytes,
    }
    return limits[body]


def _limited(request: Request, limit_bytes: int) -> Receive:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    num_received = 0
    inner = request.receive

    async def receive() -> Message:
        nonlocal num_received
        message = await inner()
        num_received += len(message.get("body", b""))
        if num_received > limit_bytes:
            raise _too_large(limit_bytes)
        return message

    return receive


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit_bytes} bytes that this route accepts.")


async def _read_json(request: Request) -> None:
    body = await request.body()
    if body:
        check_json_type(request)
        request._json = strict_json.loads(body, storable=True)


def check_json_type(request: Request) -> None:
    """Raise UnsupportedMedia unless the body says that it is JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not JSON_TYPE.fullmatch(media_type):
        raise UnsupportedMedia("This route reads JSON: send the header 'Content-Type: application/json'.")


def allowed_methods(request: Request) -> list[str]:
    """The methods that some route offers at the path of a request."""
    path = request.scope["path"]
    matching = (r for r in walk(request.app.routes) if isinstance(r, PolicyRoute) and r.path_regex.match(path))
    return sorted({method for route in matching for method in route.methods or ()})


def get_session(request: Request) -> Iterator[Session]:
    """The transaction of a request, committed before the answer is sent."""
    reads = request.method in ("GET", "HEAD")
    sessions = request.app.state.read_sessions if reads else request.app.state.sessions
    with sessions.begin() as session:
        yield session


async def get_principal(request: Request) -> Principal:
    """Who is asking; set by the route class. It is async because FastAPI gives other dependencies a thread each."""
    principal: Principal = request.state.principal
    return principal


# Since FastAPI 0.118 a dependency with `yield` ends after the answer unless its scope is the function.
InSession = Annotated[Session, Depends(get_session, scope="function")]
Caller = Annotated[Principal, Depends(get_principal)]
