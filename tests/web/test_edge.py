"""What every answer has, and what is refused before any route is looked for."""

from __future__ import annotations

import logging
import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.web.routing import allow_anybody, router
from tests.test_errors import assert_problem

ODD_IDS = ["", " ", "a b", "ä", "x" * 65, "a,b", "a\tb", "<script>"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]", "x/?a#b"])
def test_a_host_that_is_not_ours_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"host": host})
    assert_problem(answer, 421, "misdirected-host")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000", "[::1]"])
def test_the_loopback_names_are_accepted(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_the_setting_names_other_hosts(settings: Settings) -> None:
    allowed = settings.model_copy(update={"allowed_hosts": "api.example, Other.example"})
    with TestClient(create_app(allowed), base_url="http://api.example") as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/healthz", headers={"host": "other.example:80"}).status_code == 200
        assert client.get("/healthz", headers={"host": "127.0.0.1"}).status_code == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8000.evil", "x"]
)
def test_a_page_of_another_origin_may_not_change_anything(client: TestClient, method: str, origin: str) -> None:
    assert_problem(client.request(method, "/v1/keys", headers={"origin": origin}), 403, "cross-origin")


def test_a_page_of_our_own_origin_may(client: TestClient) -> None:
    header = {"origin": "http://127.0.0.1:8000"}
    assert client.post("/v1/keys", json={"name": "k", "scopes": ["read"]}, headers=header).status_code == 201
    assert client.get("/v1/keys", headers={"origin": "https://evil.example"}).status_code == 200


def test_no_answer_allows_another_origin_to_read_it(client: TestClient) -> None:
    answer = client.get("/v1/keys", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_good_request_id_is_kept(client: TestClient) -> None:
    for path in ("/healthz", "/nowhere", "/v1/keys"):
        answer = client.get(path, headers={"x-request-id": "trace-1.2_3"})
        assert answer.headers["x-request-id"] == "trace-1.2_3"


@pytest.mark.parametrize("given", ODD_IDS)
def test_an_odd_request_id_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/nowhere", headers=[(b"x-request-id", given.encode())])
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/keys", "/docs", "/openapi.json"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "script-src" not in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/", "/v1/keys/", "//v1/keys", "/V1/keys"])
def test_an_unknown_path_is_not_found(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/datasets", "GET, POST"),
        ("POST", "/v1/datasets/ds_1", "DELETE, GET, PATCH"),
        ("PATCH", "/v1/models/m/aliases/a", "DELETE, GET, PUT"),
        ("OPTIONS", "/v1/keys", "GET, POST"),
        ("POST", "/healthz", "GET"),
        ("BREW", "/v1/jobs/job_1/cancel", "POST"),
    ],
)
def test_another_method_is_told_which_there_are(client: TestClient, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


def test_a_bug_is_logged_in_full_and_tells_nothing(
    app: FastAPI, anonymous: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    routes = router("x")

    @routes.get("/bug")
    @allow_anybody
    def bug() -> None:
        raise ZeroDivisionError("the secret is 4711")

    app.include_router(routes)
    with caplog.at_level(logging.ERROR):
        answer = anonymous.get("/bug", headers={"x-request-id": "quoted"})
    assert_problem(answer, 500, "internal")
    assert "4711" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "quoted" in caplog.text
    assert "4711" in caplog.text


def test_an_answer_that_breaks_off_is_not_turned_into_another(app: FastAPI, anonymous: TestClient) -> None:
    from starlette.responses import StreamingResponse

    routes = router("x")

    @routes.get("/half")
    @allow_anybody
    def half() -> StreamingResponse:
        def parts() -> object:
            yield b"begun"
            raise ZeroDivisionError

        return StreamingResponse(parts())

    app.include_router(routes)
    strict = TestClient(app, base_url="http://127.0.0.1:8000")
    with pytest.raises(ZeroDivisionError):
        strict.get("/half")
