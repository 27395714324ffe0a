"""Policies: a route without one cannot exist, and nothing reads a body before the key was checked."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from app.web.routing import allow, allow_anybody, check_policies, router
from tests.counts import counting_reads

BROKEN = b'{"a": NaN'


async def naked(scope: Scope, receive: Receive, send: Send) -> None:
    """An application without routes."""
    await PlainTextResponse("open")(scope, receive, send)


def plain_route(api: FastAPI) -> None:
    api.router.routes.append(Route("/x", lambda request: PlainTextResponse("open")))


def mounted_application(api: FastAPI) -> None:
    api.mount("/x", naked)


def mounted_framework(api: FastAPI) -> None:
    api.mount("/x", FastAPI())


def mounted_deeply(api: FastAPI) -> None:
    api.router.routes.append(Mount("/x", routes=[Mount("/y", app=naked)]))


def by_host(api: FastAPI) -> None:
    api.router.routes.append(Host("x.example", naked))


def websocket(api: FastAPI) -> None:
    @api.websocket("/x")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()


def plain_router(api: FastAPI) -> None:
    routes = APIRouter()
    routes.add_api_route("/x", lambda: "open")
    api.include_router(routes)


def router_in_a_router(api: FastAPI) -> None:
    inner, outer = APIRouter(), router("x")
    inner.add_api_route("/x", lambda: "open")
    outer.include_router(inner)
    api.include_router(outer)


ESCAPES = (
    plain_route,
    mounted_application,
    mounted_framework,
    mounted_deeply,
    by_host,
    websocket,
    plain_router,
    router_in_a_router,
)


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.__name__)
def test_a_route_that_slipped_past_stops_the_start(app: FastAPI, escape: Any) -> None:
    check_policies(app.routes)
    escape(app)
    with pytest.raises(RuntimeError, match="no policy"):
        check_policies(app.routes)


def test_a_route_without_a_policy_cannot_be_constructed() -> None:
    routes = router("x")
    with pytest.raises(RuntimeError, match=r"the route /x has no policy: decorate forgotten"):

        @routes.get("/x")
        def forgotten() -> None: ...


def test_the_applications_own_decorators_need_policies_too(app: FastAPI) -> None:
    with pytest.raises(RuntimeError, match="no policy"):
        app.get("/x")(lambda: None)


def test_a_route_with_a_policy_passes() -> None:
    routes = router("x")
    routes.get("/a")(allow("read")(lambda: None))
    routes.get("/b")(allow_anybody(lambda: None))
    check_policies(routes.routes)


def test_without_a_key_nobody_learns_that_a_body_is_broken(anonymous: TestClient) -> None:
    for path in ("/v1/keys", "/v1/jobs", "/v1/models/m/predict", "/v1/datasets"):
        answer = anonymous.post(path, content=BROKEN, headers={"content-type": "application/json"})
        assert (path, answer.status_code) == (path, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/datasets?name=x", "/v1/models/m/predict"])
def test_without_a_key_the_body_is_not_read(anonymous: TestClient, path: str) -> None:
    read: list[int] = []
    sent = TestClient(counting_reads(anonymous.app, read), base_url="http://127.0.0.1")
    assert sent.post(path, content=b"x" * 1000).status_code == 401
    assert read == []


def test_an_unknown_key_and_a_wrong_one_get_the_same_answer(client: TestClient) -> None:
    key = client.headers["authorization"]
    tried = ["", "Bearer", "Bearer ", "Basic abc", key[:-1], key + "x", key.replace("maas_", "other_"), "Bearer ä"]
    answers = [client.get("/v1/keys", headers=[(b"authorization", word.encode())]) for word in tried]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1


def test_two_keys_at_once_are_no_key(client: TestClient) -> None:
    header = client.headers.pop("authorization")
    assert client.get("/v1/keys", headers=[("authorization", header)]).status_code == 200
    assert client.get("/v1/keys", headers=[("authorization", header)] * 2).status_code == 401


def test_a_key_in_the_query_is_no_key(client: TestClient) -> None:
    key = client.headers.pop("authorization").partition(" ")[2]
    assert client.get(f"/v1/keys?authorization={key}&key={key}").status_code == 401
