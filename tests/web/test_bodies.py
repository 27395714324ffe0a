"""Bodies: how big they may be, declared or not, and what must be said about them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.counts import counting_reads, everything
from tests.test_errors import assert_problem

JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
KEY = b'{"name": "k", "scopes": ["read"]}'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with small limits."""
    return settings.model_copy(
        update={"max_json_bytes": 1024, "max_predict_bytes": 2048, "max_upload_bytes": 4096, "max_predict_rows": 3}
    )


def streamed(num_bytes: int, piece: bytes = b" " * 100) -> Iterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(0, num_bytes, len(piece)):
        yield piece


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/models/m/predict", "/v1/datasets?name=x"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_its_limit_is_refused(app: FastAPI, client: TestClient, path: str, declared: bool) -> None:
    before = everything(app)
    body = b" " * 5000 if declared else streamed(5000)
    headers = {"content-type": "text/csv"} if "datasets" in path else JSON
    problem = assert_problem(client.post(path, content=body, headers=headers), 413, "too-large")
    assert any(str(limit) in problem["detail"] for limit in (1024, 2048, 4096))
    assert everything(app) == before


def test_a_form_over_the_limit_is_refused(app: FastAPI, client: TestClient) -> None:
    before = everything(app)
    answer = client.post("/v1/datasets?name=x", files={"file": ("a.csv", b"a,b\n" * 2000, "text/csv")})
    assert_problem(answer, 413, "too-large")
    assert everything(app) == before


def test_a_body_of_exactly_the_limit_is_read(client: TestClient) -> None:
    assert client.post("/v1/keys", content=KEY.ljust(1024), headers=JSON).status_code == 201
    assert client.post("/v1/keys", content=KEY.ljust(1025), headers=JSON).status_code == 413


def test_a_declared_size_is_refused_before_anything_is_read(app: FastAPI, client: TestClient) -> None:
    read: list[int] = []
    sent = TestClient(counting_reads(app, read), base_url="http://127.0.0.1", headers=dict(client.headers))
    assert_problem(sent.post("/v1/keys", content=b" " * 1025, headers=JSON), 413, "too-large")
    assert read == []
    assert sent.post("/v1/keys", content=KEY, headers=JSON).status_code == 201
    assert read


def test_too_many_rows_to_predict_are_refused(client: TestClient) -> None:
    body = {"rows": [{"a": 1}] * 4}
    assert_problem(client.post("/v1/models/m/predict", json=body), 413, "too-large")


UNREAD = {"/v1/keys": ["gzip", "br", "deflate", "GZIP", "x"], "/v1/models/m/predict": ["br", "identity, gzip", "zstd"]}


@pytest.mark.parametrize(("path", "encoding"), [(path, each) for path, unread in UNREAD.items() for each in unread])
def test_a_compressed_body_is_refused_where_it_is_not_decoded(client: TestClient, path: str, encoding: str) -> None:
    answer = client.post(path, content=b"{}", headers=JSON | {"content-encoding": encoding})
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["br", "deflate", "identity, gzip", "gzip, gzip", "x"])
def test_an_upload_compressed_in_a_way_that_is_not_read_is_refused(client: TestClient, encoding: str) -> None:
    answer = client.post("/v1/datasets?name=x", content=b"a\n1\n", headers=CSV | {"content-encoding": encoding})
    problem = assert_problem(answer, 415, "unsupported-media-type")
    assert "gzip" in problem["detail"]


def test_a_form_is_not_read_compressed(client: TestClient) -> None:
    files = {"file": ("a.csv", b"a,b\n1,2\n", "text/csv")}
    answer = client.post("/v1/datasets?name=x", files=files, headers={"content-encoding": "gzip"})
    assert "form" in assert_problem(answer, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                     "application/octet-stream", "application/jsonx", "json", "application/x-ndjson"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/keys", "/v1/models/m/predict"])
def test_a_body_that_is_not_called_json_is_refused(client: TestClient, path: str, content_type: str) -> None:
    answer = client.post(path, content=KEY, headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
)
def test_json_by_its_other_names_is_read(client: TestClient, content_type: str) -> None:
    assert client.post("/v1/keys", content=KEY, headers={"content-type": content_type}).status_code == 201


def test_the_settings_bound_the_limits(settings: Settings) -> None:
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        assert client.post("/v1/keys", content=b"x" * 5000).status_code == 401, "no key, no look at the size"
