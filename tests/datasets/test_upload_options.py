"""What an upload may say about its file, in the query of the request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.test_errors import assert_problem

CSV = {"content-type": "text/csv"}
TABLE = b"code;size\n007;1\n008;-999\n"


def types(answer: Any) -> dict[str, str]:
    assert answer.status_code == 201, answer.text
    return {column["name"]: column["type"] for column in answer.json()["columns"]}


def test_types_and_missing_words_are_taken_from_the_query(client: TestClient) -> None:
    wanted = {"name": "t", "types": json.dumps({"code": "integer"}), "missing_values": "-999"}
    answer = client.post("/v1/datasets", params=wanted, content=TABLE, headers=CSV)
    assert types(answer) == {"code": "integer", "size": "integer"}
    assert answer.json()["columns"][1]["num_missing"] == 1
    assert answer.json()["origin"]["read"]["options"]["types"] == {"code": "integer"}


def test_several_words_may_mean_missing(client: TestClient) -> None:
    query = "name=t&missing_values=007&missing_values=-999"
    columns = client.post(f"/v1/datasets?{query}", content=TABLE, headers=CSV).json()["columns"]
    assert [column["num_missing"] for column in columns] == [1, 1]


def test_malformed_lines_are_left_out_on_request(client: TestClient) -> None:
    content = b"a,b\n1,2\n3\n4,5\n6,7\n"
    assert_problem(client.post("/v1/datasets?name=t", content=content, headers=CSV), 422, "dataset-invalid")
    kept = client.post("/v1/datasets?name=t&on_bad_lines=skip", content=content, headers=CSV).json()
    assert kept["num_rows"] == 3
    assert kept["source"]["malformed_lines"]["count"] == 1
    assert kept["source"]["malformed_lines"]["lines"][0]["line"] == 3


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("delimiter=;;", "query:delimiter"),
        ("types=[1]", "query:types"),
        ('types={"a":"matrix"}', "query:types"),
        ("encoding=utf-7", "query:encoding"),
        ("header=maybe", "query:header"),
        ("colour=red", "query:colour"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(client: TestClient, query: str, pointer: str) -> None:
    answer = client.post(f"/v1/datasets?name=t&{query}", content=TABLE, headers=CSV)
    assert_problem(answer, 422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)
