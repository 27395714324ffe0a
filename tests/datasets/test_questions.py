"""Questions over HTTP: exports, differences, leaks, anonymity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pyarrow.parquet
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.test_errors import assert_problem

CSV = {"content-type": "text/csv"}
PEOPLE = b"name,age,city\nAnn,31,Oslo\nBob,,Bergen\n=Cleo,45,Oslo\n"


@pytest.fixture
def people(client: TestClient) -> str:
    """The id of three people."""
    return str(client.post("/v1/datasets?name=people", content=PEOPLE, headers=CSV).json()["id"])


def test_an_export_is_safe_for_spreadsheets_unless_asked_otherwise(client: TestClient, people: str) -> None:
    safe = client.get(f"/v1/datasets/{people}/export")
    assert safe.text.splitlines()[-1] == '"\'=Cleo",45,"Oslo"'
    assert safe.headers["content-disposition"] == 'attachment; filename="people-1.csv"'
    raw = client.get(f"/v1/datasets/{people}/export?formula_safe=false")
    assert raw.text.splitlines()[-1] == '"=Cleo",45,"Oslo"'
    lines = client.get(f"/v1/datasets/{people}/export?format=ndjson").text.splitlines()
    assert lines[1] == '{"name":"Bob","age":null,"city":"Bergen"}'


def test_an_export_can_be_taken_up_again(client: TestClient, people: str) -> None:
    whole = client.get(f"/v1/datasets/{people}/export")
    rest = client.get(f"/v1/datasets/{people}/export", headers={"range": "bytes=10-"})
    assert (rest.status_code, rest.content) == (206, whole.content[10:])
    assert rest.headers["etag"] == whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'


def test_the_parquet_export_is_the_table(client: TestClient, people: str) -> None:
    content = client.get(f"/v1/datasets/{people}/export?format=parquet").content
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
    assert table.column("age").to_pylist() == [31, None, 45]


def test_exports_go_with_their_data_set(client: TestClient, app: FastAPI, people: str) -> None:
    client.get(f"/v1/datasets/{people}/export")
    folder = app.state.settings.data_dir / "exports"
    assert len([path for path in folder.iterdir() if not path.name.startswith(".")]) == 1
    client.delete(f"/v1/datasets/{people}")
    assert [path for path in folder.iterdir() if not path.name.startswith(".")] == []


def test_two_versions_are_compared(client: TestClient, people: str) -> None:
    other = b"name,age,town\n" + b"".join(b"P%d,%d,Oslo\n" % (i, 80 + i % 9) for i in range(100))
    newer = client.post("/v1/datasets?name=people", content=other, headers=CSV).json()["id"]
    found = client.get(f"/v1/datasets/{people}/diff?to={newer}").json()
    assert (found["columns_added"], found["columns_removed"]) == (["town"], ["city"])
    assert {column["name"]: column["shift"] for column in found["columns"]}["age"] == "large"
    same = client.get(f"/v1/datasets/{people}/diff?to={people}").json()
    assert {column["shift"] for column in same["columns"]} <= {"none", None}


def test_a_copy_of_the_target_is_found(client: TestClient) -> None:
    lines = b"".join(b"%d,%d,%d\n" % (i % 2, 7 * (i % 2), i * 37 % 101) for i in range(400))
    dataset = client.post("/v1/datasets?name=leaky", content=b"y,copy,noise\n" + lines, headers=CSV).json()["id"]
    found = client.get(f"/v1/datasets/{dataset}/leaks?target=y").json()
    assert [(warning["column"], warning["code"]) for warning in found["warnings"]] == [("copy", "leaks-target")]
    answer = client.get(f"/v1/datasets/{dataset}/leaks?target=z")
    assert_problem(answer, 422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"] == "query:target"


def test_anonymity_is_the_size_of_the_smallest_group(client: TestClient, people: str) -> None:
    body = {"quasi_identifiers": ["city"], "sensitive": "name"}
    found = client.post(f"/v1/datasets/{people}/anonymity", json=body).json()
    assert (found["k"], found["num_groups"], found["diversity"]) == (1, 2, 1)
    refused = client.post(f"/v1/datasets/{people}/anonymity", json={"quasi_identifiers": ["shoe"]})
    assert_problem(refused, 422, "dataset-invalid")
    assert refused.json()["errors"][0]["pointer"] == "/quasi_identifiers/0"


@pytest.mark.parametrize("path", ["export", "diff?to={id}", "leaks?target=age"])
def test_strangers_learn_nothing(client: TestClient, stranger: dict[str, str], people: str, path: str) -> None:
    answer = client.get(f"/v1/datasets/{people}/{path.format(id=people)}", headers=stranger)
    assert_problem(answer, 404, "not-found")


def test_nobody_is_compared_with_strangers(
    client: TestClient, stranger: dict[str, str], people: str, new_key: Callable[..., Any]
) -> None:
    theirs = client.post("/v1/datasets?name=t", content=PEOPLE, headers=CSV | stranger).json()["id"]
    assert_problem(client.get(f"/v1/datasets/{people}/diff?to={theirs}"), 404, "not-found")
