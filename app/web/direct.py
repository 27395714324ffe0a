"""Direct routes: called at once, without the dependencies, exit stacks and serialisers of FastAPI in between.

They are FastAPI routes all the same, with a policy and a place in the OpenAPI document; a prediction of one row
spends most of its time in that machinery, and needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.web import problems
from app.web.routing import PolicyRoute, walk

EXPECTED = tuple(kind for kind in problems.HANDLERS if isinstance(kind, type) and kind is not Exception)


class Direct:
    """Answers direct routes itself and leaves everything else to the application."""

    def __init__(self, app: ASGIApp, *, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self.routes = [route for route in walk(routes) if isinstance(route, PolicyRoute) and route.policy.direct]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self.routes:
                match = route.path_regex.match(scope["path"])
                if match and scope["method"] in (route.methods or ()):
                    scope["route"], scope["path_params"] = route, match.groupdict()
                    return await _answer(route, Request(scope, receive, send))
        return await self.app(scope, receive, send)


async def _answer(route: PolicyRoute, request: Request) -> None:
    try:
        response = await route.endpoint(await route.admit(request))
    except EXPECTED as error:
        respond = next(problems.HANDLERS[kind] for kind in EXPECTED if isinstance(error, kind))
        response = await respond(request, error)
    await response(request.scope, request.receive, request._send)
