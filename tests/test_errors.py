"""Every refusal is one problem document, stores nothing, and says nothing of the inside."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient

from app import errors
from app.errors import MaasError
from app.web.problems import respond
from tests.counts import everything
from tests.trained import ROW

MEMBERS = {"type", "title", "status", "detail", "request_id", "errors", "error"}
INSIDE = re.compile(r"Traceback|sqlalchemy|sqlite|psycopg|\.py\b|/work|/tmp|File \"|0x[0-9a-f]{6}|pydantic", re.I)
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data"}
PICKLE = {"content-type": "application/x-python-pickle"}
CSV = {"content-type": "text/csv"}
GOOD_JOB: dict[str, Any] = {"dataset": "DATASET", "target": "species"}


class Refused(NamedTuple):
    """A request, and the status and code of its refusal."""

    call: str
    status: int
    code: str
    body: Any = None
    headers: dict[str, str] | None = None


def key(**changes: Any) -> dict[str, Any]:
    """A good key with changes."""
    return {"name": "k", "scopes": ["read"], **changes}


def job(**changes: Any) -> dict[str, Any]:
    """A good job with changes."""
    return GOOD_JOB | changes


REFUSALS = [
    Refused("GET /nowhere", 404, "not-found"),
    Refused("PATCH /v1/keys", 405, "method-not-allowed"),
    Refused("GET /v1/keys", 401, "unauthenticated", headers={"authorization": "Bearer no"}),
    Refused("GET /v1/keys", 421, "misdirected-host", headers={"host": "evil.example"}),
    Refused("POST /v1/keys", 403, "cross-origin", headers={"origin": "https://evil.example"}),
    Refused("POST /v1/keys", 400, "malformed-json", b"{", JSON),
    Refused("POST /v1/keys", 415, "unsupported-media-type", b"{}", {"content-type": "text/plain"}),
    Refused("POST /v1/keys", 415, "unsupported-media-type", b"{}", JSON | {"content-encoding": "gzip"}),
    Refused("POST /v1/keys", 413, "too-large", b" " * (2**20 + 1), JSON),
    Refused("POST /v1/keys", 422, "validation-failed"),
    Refused("POST /v1/keys", 422, "validation-failed", {}),
    Refused("POST /v1/keys", 422, "validation-failed", [1]),
    Refused("POST /v1/keys", 422, "validation-failed", {"name": "k", "scopes": ["root"]}),
    Refused("POST /v1/keys", 422, "validation-failed", {"name": "k", "scopes": []}),
    Refused("POST /v1/keys", 422, "validation-failed", {"name": "", "scopes": ["read"]}),
    Refused("POST /v1/keys", 422, "validation-failed", {"name": "k\n", "scopes": ["read"]}),
    Refused("POST /v1/keys", 422, "validation-failed", {"name": 1, "scopes": ["read"]}),
    Refused("POST /v1/keys", 422, "validation-failed", key(extra=1)),
    Refused("POST /v1/keys", 422, "validation-failed", {"name": "k", "scopes": ["admin"], "model": "m"}),
    Refused("POST /v1/keys", 422, "validation-failed", key(model="../m")),
    Refused("POST /v1/keys", 422, "validation-failed", key(expires_at="soon")),
    Refused("POST /v1/keys", 422, "validation-failed", key(expires_at="2020-01-01T00:00:00Z")),
    Refused("POST /v1/keys", 422, "validation-failed", key(expires_at="2099-01-01T00:00:00")),
    Refused("POST /v1/keys", 422, "validation-failed", key(expires_at="9999-12-31T23:59:59-12:00")),
    Refused("POST /v1/keys", 422, "validation-failed", key(expires_at="0001-01-01T00:00:00+12:00")),
    Refused("POST /v1/keys", 400, "malformed-json", b'{"name": "\\u0000", "scopes": ["read"]}', JSON),
    Refused("POST /v1/keys", 422, "invalid-idempotency-key", key(), {"idempotency-key": "a b"}),
    Refused("POST /v1/keys", 422, "invalid-idempotency-key", key(), {"idempotency-key": "x" * 256}),
    Refused("GET /v1/keys?limit=0", 422, "validation-failed"),
    Refused("GET /v1/keys?limit=1001", 422, "validation-failed"),
    Refused("GET /v1/keys?limit=ten", 422, "validation-failed"),
    Refused("GET /v1/keys?after=ds_1", 400, "invalid-cursor"),
    Refused("GET /v1/audit?after=-1", 400, "invalid-cursor"),
    Refused("GET /v1/audit?after=%D9%A1", 400, "invalid-cursor"),
    Refused("GET /v1/jobs?after=%00", 422, "validation-failed"),
    Refused("GET /v1/jobs?status=done", 422, "validation-failed"),
    Refused("GET /v1/jobs?model=%00", 422, "validation-failed"),
    Refused("GET /v1/keys/%00", 404, "not-found"),
    Refused("GET /v1/keys/" + "x" * 300, 404, "not-found"),
    Refused("GET /v1/datasets/%00", 404, "not-found"),
    Refused("GET /v1/datasets/%2e%2e%2fmaas.db", 404, "not-found"),
    Refused("GET /v1/datasets/" + "d" * 65, 422, "validation-failed"),
    Refused("GET /v1/datasets/ds_1", 404, "not-found"),
    Refused("GET /v1/datasets/ds_1/rows", 404, "not-found"),
    Refused("GET /v1/datasets/DATASET/rows?offset=-1", 422, "validation-failed"),
    Refused("GET /v1/datasets/DATASET/rows?limit=99999", 422, "validation-failed"),
    Refused("GET /v1/datasets/DATASET/content", 416, "range-not-satisfiable", headers={"range": "bytes=999999999-"}),
    Refused("DELETE /v1/datasets/DATASET", 409, "in-use"),
    Refused("GET /v1/specs/os.system", 404, "not-found"),
    Refused("POST /v1/jobs", 422, "validation-failed", {}),
    Refused("POST /v1/jobs", 404, "not-found", job(dataset="ds_1")),
    Refused("POST /v1/jobs", 422, "validation-failed", job(target="wings")),
    Refused("POST /v1/jobs", 422, "validation-failed", job(spec="os.system")),
    Refused("POST /v1/jobs", 422, "validation-failed", job(model="../m")),
    Refused("POST /v1/jobs", 422, "validation-failed", job(seed=True)),
    Refused("POST /v1/jobs", 422, "validation-failed", job(seed="1")),
    Refused("POST /v1/jobs", 422, "validation-failed", job(params={"hidden": [0]})),
    Refused("POST /v1/jobs", 422, "validation-failed", job(params={"learning_rate": "fast"})),
    Refused("POST /v1/jobs", 422, "limits-exceeded", job(params={"hidden": [60000, 60000]})),
    Refused("POST /v1/jobs", 422, "limits-exceeded", job(limits={"wall_seconds": 10**7})),
    Refused("POST /v1/jobs", 422, "validation-failed", job(limits={"wall_seconds": 0})),
    Refused("POST /v1/jobs", 422, "validation-failed", job(preparation={"columns": {"wings": {}}})),
    Refused("POST /v1/jobs", 422, "validation-failed", job(split={"test": 2})),
    Refused("POST /v1/jobs", 400, "malformed-json", b'{"params": {"learning_rate": NaN}}', JSON),
    Refused("POST /v1/jobs:validate", 422, "validation-failed", job(target="wings")),
    Refused("GET /v1/jobs/job_1", 404, "not-found"),
    Refused("GET /v1/jobs/job_1/events", 404, "not-found", headers={"accept": "text/event-stream"}),
    Refused("POST /v1/jobs/job_1/cancel", 404, "not-found"),
    Refused("GET /v1/models/m", 404, "not-found"),
    Refused("GET /v1/models/a%20b", 422, "validation-failed"),
    Refused("GET /v1/models/penguins/versions/0", 422, "validation-failed"),
    Refused("GET /v1/models/penguins/versions/99999999999999999999", 422, "validation-failed"),
    Refused("GET /v1/models/penguins/versions/9", 404, "not-found"),
    Refused("GET /v1/models/penguins/versions/9/weights", 404, "not-found"),
    Refused("GET /v1/models/penguins/versions?after=x", 400, "invalid-cursor"),
    Refused("GET /v1/models/penguins/aliases/champion", 404, "not-found"),
    Refused("PUT /v1/models/penguins/aliases/champion", 422, "validation-failed", {"version": 9}),
    Refused("PUT /v1/models/penguins/aliases/champion", 422, "validation-failed", {"version": "1"}),
    Refused("PUT /v1/models/penguins/aliases/1", 422, "validation-failed", {"version": 1}),
    Refused("PUT /v1/models/penguins/aliases/a", 412, "precondition-failed", {"version": 1}, {"if-match": '"7"'}),
    Refused("PUT /v1/models/penguins/aliases/a", 422, "validation-failed", {"version": 1}, {"if-match": "seven"}),
    Refused("DELETE /v1/models/penguins/aliases/a", 404, "not-found"),
    Refused("POST /v1/models/m/predict", 404, "not-found", {"rows": [ROW]}),
    Refused("POST /v1/models/penguins@9/predict", 404, "not-found", {"rows": [ROW]}),
    Refused("POST /v1/models/penguins@nobody/predict", 404, "not-found", {"rows": [ROW]}),
    Refused("POST /v1/models/penguins@@/predict", 422, "validation-failed", {"rows": [ROW]}),
    Refused("POST /v1/models/penguins/predict", 422, "schema-mismatch", {}),
    Refused("POST /v1/models/penguins/predict", 415, "unsupported-media-type", b"{}", PICKLE),
    Refused("POST /v1/datasets", 422, "validation-failed", b"a,b\n1,2\n", CSV),
    Refused("POST /v1/datasets?name=../x", 422, "validation-failed", b"a,b\n1,2\n", CSV),
    Refused("POST /v1/datasets?name=x", 415, "unsupported-media-type", b"a", PICKLE),
    Refused("POST /v1/datasets?name=x", 415, "unsupported-media-type", b"a", CSV | {"content-encoding": "br"}),
    Refused("POST /v1/datasets?name=x", 400, "malformed-multipart", b"x", FORM),
]  # fmt: skip


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The document, if it is a complete problem that says nothing of the inside."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["error"]["code"]) == (status, code), problem
    assert set(problem) == MEMBERS
    assert (problem["status"], problem["type"]) == (status, f"/problems/{code}")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert set(problem["error"]) == {"message", "type", "param", "code"}
    assert problem["error"]["message"] == problem["detail"]
    assert problem["error"]["type"] == ("invalid_request_error" if status < 500 else "server_error")
    assert all(set(error) == {"pointer", "detail"} and error["detail"] for error in problem["errors"])
    assert problem["error"]["param"] == (problem["errors"][0]["pointer"] if problem["errors"] else None)
    assert problem["title"]
    assert problem["detail"]
    assert not INSIDE.search(answer.text), answer.text
    assert len(answer.text) < 4000
    if status == 409:
        assert answer.headers["x-should-retry"] == "false"
    return problem


@pytest.mark.parametrize("refused", REFUSALS, ids=[f"{i}-{r.call[:50]}" for i, r in enumerate(REFUSALS)])
def test_a_refusal_is_one_problem_and_stores_nothing(
    refused: Refused, app: FastAPI, client: TestClient, dataset_id: str, version: int
) -> None:
    before = everything(app)
    method, path = refused.call.replace("DATASET", dataset_id).split(" ", 1)
    body: dict[str, Any] = {"content": refused.body} if isinstance(refused.body, bytes) else {"json": refused.body}
    if isinstance(refused.body, dict) and refused.body.get("dataset") == "DATASET":
        body = {"json": refused.body | {"dataset": dataset_id}}
    answer = client.request(method, path, headers=refused.headers, **body)
    problem = assert_problem(answer, refused.status, refused.code)
    if refused.code == "validation-failed" and refused.status == 422:
        assert problem["errors"], "it must name the field"
    assert everything(app) == before


def test_the_tree_of_failures_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^ +[│├└─ ]*?(\w+) +(\d{3})  \S", errors.__doc__ or "", re.MULTILINE)
    assert {(name, int(status)) for name, status in drawn} == {(c.__name__, c.status) for c in _tree(MaasError)}


def test_every_failure_has_its_own_words() -> None:
    classes = _tree(MaasError)
    codes = [c.code for c in classes]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert all(400 <= c.status < 600 for c in classes)
    assert all(c.__doc__ for c in classes)


def test_a_long_list_of_faults_is_cut() -> None:
    request = Request({"type": "http", "path": "/", "headers": [], "state": {"request_id": "r"}})
    answer = respond(request, errors.Invalid("x", errors=[{"pointer": "/a", "detail": "b"}] * 99))
    assert bytes(answer.body).count(b'"pointer"') == 50


def _tree(root: type[MaasError]) -> list[type[MaasError]]:
    below = [c for c in root.__subclasses__() if c.__module__ == "app.errors"]
    return below + [deeper for c in below for deeper in _tree(c)]
