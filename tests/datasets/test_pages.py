"""Pages of rows over HTTP: plain ones from the blocks they lie in, filtered and sorted ones from a child."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.tables import DatasetRow
from tests.test_errors import assert_problem

PEOPLE = b"name,age,city\nAnn,31,Oslo\nBob,,Bergen\nCleo,45,Oslo\nDan,28,Rome\n"


@pytest.fixture
def people(client: TestClient) -> str:
    """The id of four people."""
    answer = client.post("/v1/datasets?name=people", content=PEOPLE, headers={"content-type": "text/csv"})
    return str(answer.json()["id"])


def names(answer: Any) -> list[str]:
    return [row["name"] for row in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "found", "num_rows"),
    [
        ("", ["Ann", "Bob", "Cleo", "Dan"], 4),
        ("?offset=1&limit=2", ["Bob", "Cleo"], 4),
        ("?filter=age>=31", ["Ann", "Cleo"], 2),
        ("?filter=age>=31&filter=city=Oslo&sort=-name&limit=1", ["Cleo"], 2),
        ("?filter=age missing", ["Bob"], 1),
        ("?sort=-age", ["Cleo", "Ann", "Dan", "Bob"], 4),
        ("?filter=city in (Rome|Bergen)", ["Bob", "Dan"], 2),
    ],
)
def test_rows_are_filtered_sorted_and_counted(
    client: TestClient, people: str, query: str, found: list[str], num_rows: int
) -> None:
    answer = client.get(f"/v1/datasets/{people}/rows{query}")
    assert (answer.status_code, names(answer), answer.json()["num_rows"]) == (200, found, num_rows)


def test_only_the_wanted_columns_are_shown(client: TestClient, people: str) -> None:
    for query in ("columns=city,name", "columns=city,name&sort=name"):
        answer = client.get(f"/v1/datasets/{people}/rows?{query}&limit=1")
        assert list(answer.json()["data"][0].items()) == [("city", "Oslo"), ("name", "Ann")]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("filter=height>1", "query:filter"), ("filter=age>tall", "query:filter"), ("sort=shoe", "query:sort")],
)
def test_a_question_that_makes_no_sense_is_refused(client: TestClient, people: str, query: str, pointer: str) -> None:
    answer = client.get(f"/v1/datasets/{people}/rows?{query}")
    assert_problem(answer, 422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("query", ["", "?sort=age"])
def test_a_flipped_bit_is_never_shown(client: TestClient, app: FastAPI, people: str, query: str) -> None:
    with app.state.read_sessions.begin() as session:
        row = session.get_one(DatasetRow, people)
        assert len(row.blocks) == 1
    path = app.state.storage.path(row.parquet_sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert_problem(client.get(f"/v1/datasets/{people}/rows{query}"), 503, "artifact-corrupt")


def test_a_data_set_from_before_blocks_were_recorded_is_checked_as_a_whole(client: TestClient, dataset_id: str) -> None:
    assert len(client.get(f"/v1/datasets/{dataset_id}/rows?limit=3").json()["data"]) == 3
