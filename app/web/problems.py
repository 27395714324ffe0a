"""Every refusal as one document: application/problem+json (RFC 9457), with the members its dialect's clients read."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.errors import Invalid, MaasError, Malformed, Unavailable
from app.web.dialects import Failure, dialect_of
from app.web.routing import allowed_methods

log = logging.getLogger("maas")
MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 50
BY_STATUS = {
    400: ("malformed-request", "Malformed request"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    413: ("too-large", "Too large"),
}


def respond(request: Request, problem: MaasError) -> Response:
    """Draw a failure."""
    return render(
        request.state.request_id,
        path=request.scope["path"],
        status=problem.status,
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        errors=problem.errors[:MAX_ERRORS],
        headers=problem.headers,
    )


def render(
    request_id: str,
    *,
    path: str,
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """One problem document for a client that asked at `path`."""
    errors = errors or []
    failure = Failure(status, code, detail, errors[0]["pointer"] if errors else None)
    document = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        "errors": errors,
    } | dialect_of(path).members(failure)
    return Response(orjson.dumps(document, default=str), status, headers=headers, media_type=MEDIA_TYPE)


async def on_maas_error(request: Request, error: MaasError) -> Response:
    """An expected failure says itself what to answer."""
    return respond(request, error)


async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """What pydantic refused, with a pointer to each value and none of the values themselves."""
    errors = [{"pointer": _pointer(e["loc"]), "detail": _message(e)} for e in error.errors()]
    first = errors[0]
    detail = f"{first['pointer']}: {first['detail']}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more)"
    return respond(request, Invalid(detail, errors=errors))


async def on_http_exception(request: Request, error: HTTPException) -> Response:
    """What the framework refuses: unknown paths, methods."""
    code, title = BY_STATUS.get(error.status_code, ("malformed-request", str(error.detail)))
    detail = f"{request.method} {request.scope['path'][:64]}: {title.lower()}."
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    return render(
        request.state.request_id,
        path=request.scope["path"],
        status=error.status_code,
        code=code,
        title=title,
        detail=detail,
        headers=headers,
    )


async def on_database_error(request: Request, error: Exception) -> Response:
    """The database is busy or away: nothing was stored, and trying again may help."""
    log.error("request %s: the database does not answer", request.state.request_id, exc_info=error)
    return respond(request, Unavailable("The database does not answer; try again.", code="db-unavailable"))


async def on_disconnect(request: Request, _: ClientDisconnect) -> Response:
    """The client went away in the middle of its body: nobody reads this answer, and nothing failed here."""
    return respond(request, Malformed("The body ended early."))


async def on_bug(request: Request, error: Exception) -> Response:
    """Anything else; the framework raises it again after the answer, and the edge logs it."""
    return internal(request.state.request_id, request.scope["path"])


def internal(request_id: str, path: str) -> Response:
    """A bug, told in one neutral sentence; the log has the rest."""
    detail = "The server failed; this is a bug. Quote the request id when reporting it."
    return render(request_id, path=path, status=500, code="internal", title="Internal error", detail=detail)


HANDLERS: dict[int | type[Exception], Any] = {
    MaasError: on_maas_error,
    RequestValidationError: on_validation_error,
    HTTPException: on_http_exception,
    Exception: on_bug,
    OperationalError: on_database_error,
    InterfaceError: on_database_error,
    PoolTimeout: on_database_error,
    ClientDisconnect: on_disconnect,
}


def _pointer(location: tuple[int | str, ...]) -> str:
    where, *rest = location
    inside = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')[:64]}" for part in rest)
    return inside or "/" if where == "body" else f"{where}:{inside[1:]}"


def _message(error: dict[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")[:300]
