"""New versions of data sets: other types and policies, more rows, cleaned rows, erased rows."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.datasets.blobs import blobs
from tests.test_errors import assert_problem

CSV = {"content-type": "text/csv"}
PEOPLE = b"code,name,age\n007,Ann,31\n008,Bob,\n009,Cleo,45\n"


@pytest.fixture
def people(client: TestClient) -> dict[str, Any]:
    """Three people."""
    answer = client.post("/v1/datasets?name=people", content=PEOPLE, headers=CSV)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rows(client: TestClient, dataset: dict[str, Any]) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = client.get(f"/v1/datasets/{dataset['id']}/rows").json()["data"]
    return data


def make(client: TestClient, dataset: dict[str, Any], verb: str, body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/datasets/{dataset['id']}/{verb}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert (made["version"], made["parent"]) == (dataset["version"] + 1, dataset["id"])
    return made


def types(dataset: dict[str, Any]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in dataset["columns"]}


def test_a_type_that_people_know_better_makes_a_version_from_the_sent_bytes(
    client: TestClient, people: dict[str, Any]
) -> None:
    assert types(people)["age"] == "integer"
    answer = client.patch(f"/v1/datasets/{people['id']}", json={"columns": {"code": {"type": "integer"}}})
    made = answer.json()
    assert (answer.status_code, made["version"], made["parent"]) == (201, 2, people["id"])
    assert types(made) == types(people) | {"code": "integer"}
    assert [row["code"] for row in rows(client, made)] == [7, 8, 9]
    # And back again: nothing was lost on the way.
    back = client.patch(f"/v1/datasets/{made['id']}", json={"columns": {"code": {"type": "category"}}}).json()
    assert [row["code"] for row in rows(client, back)] == ["007", "008", "009"]
    assert (back["sha256"], back["format"], types(back)["age"]) == (people["sha256"], "csv", "integer")
    assert client.get(f"/v1/datasets/{back['id']}/content").content == PEOPLE


def test_a_type_that_does_not_fit_is_refused_with_the_cell(client: TestClient, people: dict[str, Any]) -> None:
    answer = client.patch(f"/v1/datasets/{people['id']}", json={"columns": {"name": {"type": "integer"}}})
    assert_problem(answer, 422, "dataset-invalid")
    assert answer.json()["errors"][0] == {"pointer": "/columns/name", "detail": "row 1: 'Ann' has no value as integer"}
    assert len(client.get("/v1/datasets?name=people").json()["data"]) == 1


def test_policies_make_a_version_of_the_same_bytes_and_stay(
    client: TestClient, app: FastAPI, people: dict[str, Any]
) -> None:
    before = blobs(app)
    patch = {"columns": {"age": {"policies": {"missing": "reject"}}}, "extra_columns": "reject"}
    made = client.patch(f"/v1/datasets/{people['id']}", json=patch).json()
    assert blobs(app) == before
    assert made["columns"][2]["policies"]["missing"] == "reject"
    assert made["origin"]["extra_columns"] == "reject"
    retyped = client.patch(f"/v1/datasets/{made['id']}", json={"columns": {"age": {"type": "real"}}}).json()
    assert retyped["columns"][2]["policies"]["missing"] == "reject"
    assert retyped["origin"]["extra_columns"] == "reject"


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"columns": {"height": {"type": "real"}}}, "/columns/height"),
        ({"columns": {"age": {"policies": {"missing": "guess"}}}}, "/columns/age/policies/missing"),
        ({"columns": {"age": {"policies": {"unseen": "other"}}}}, "/columns/age/policies/unseen"),
        ({"columns": {"age": {"policies": {"mood": "other"}}}}, "/columns/age/policies/mood"),
        ({"columns": {"age": {"type": "number"}}}, "/columns/age/type"),
        ({"columns": {"age": {"typ": "real"}}}, "/columns/age/typ"),
        ({"extra_columns": "keep"}, "/extra_columns"),
        ({}, "/columns"),
    ],
)
def test_an_impossible_change_is_refused_where_it_stands(
    client: TestClient, people: dict[str, Any], patch: Any, pointer: str
) -> None:
    answer = client.patch(f"/v1/datasets/{people['id']}", json=patch)
    assert_problem(answer, 422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_appended_rows_follow_the_old_ones(client: TestClient, app: FastAPI, people: dict[str, Any]) -> None:
    more = b'{"age": 52, "code": "010", "name": "Dan"}\n'
    answer = client.post(
        f"/v1/datasets/{people['id']}/append", content=more, headers={"content-type": "application/x-ndjson"}
    )
    made = answer.json()
    assert answer.status_code == 201, made
    assert [row["name"] for row in rows(client, made)] == ["Ann", "Bob", "Cleo", "Dan"]
    assert (made["version"], made["parent"], made["num_rows"]) == (2, people["id"], 4)
    assert types(made) == types(people)
    assert [row["name"] for row in rows(client, people)] == ["Ann", "Bob", "Cleo"]
    again = client.post(
        f"/v1/datasets/{people['id']}/append", content=b"name,age\nEve,1\n", headers=CSV | {"idempotency-key": "k"}
    )
    assert_problem(again, 422, "dataset-invalid")
    assert len(blobs(app)) == 3


def test_steps_clean_and_are_recorded(client: TestClient, people: dict[str, Any]) -> None:
    steps = [
        {"op": "fill_missing", "columns": ["age"], "method": "mean"},
        {"op": "pseudonymise", "columns": ["name"]},
        {"op": "generalise", "columns": ["age"], "width": 10},
    ]
    made = make(client, people, "transform", {"steps": steps, "quasi_identifiers": ["age"]})
    found = rows(client, made)
    assert [row["age"] for row in found] == ["30-39", "30-39", "40-49"]
    assert "Ann" not in str(found)
    assert [step["op"] for step in made["origin"]["steps"]] == ["fill_missing", "pseudonymise", "generalise"]
    assert made["source"]["anonymity"]["after"]["k"] == 1
    other = client.post("/v1/datasets?name=others", content=b"who\nAnn\n", headers=CSV).json()
    step = {"op": "pseudonymise", "columns": ["who"]}
    again = make(client, other, "transform", {"steps": [step]})
    assert rows(client, again)[0]["who"] == found[0]["name"]


def test_a_step_that_does_not_fit_is_refused_at_once(client: TestClient, people: dict[str, Any]) -> None:
    steps = [{"op": "drop_missing"}, {"op": "clip", "columns": ["name"], "low": 0}]
    answer = client.post(
        f"/v1/datasets/{people['id']}/transform", json={"steps": steps}, headers={"prefer": "respond-async"}
    )
    assert_problem(answer, 422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"].startswith("/steps/1/columns")


def test_pseudonyms_of_another_project_are_others(client: TestClient, stranger: dict[str, str]) -> None:
    found = []
    for headers in ({}, stranger):
        dataset = client.post("/v1/datasets?name=t", content=b"who\nAnn\n", headers=CSV | headers).json()
        body = {"steps": [{"op": "pseudonymise", "columns": ["who"]}]}
        made = client.post(f"/v1/datasets/{dataset['id']}/transform", json=body, headers=headers).json()
        found.append(client.get(f"/v1/datasets/{made['id']}/rows", headers=headers).json()["data"][0]["who"])
    assert found[0] != found[1]


def test_an_erased_subject_is_nowhere_in_the_new_version(
    client: TestClient, dataset_id: str, version: int, people: dict[str, Any]
) -> None:
    made = make(client, people, "erase", {"column": "name", "values": ["Bob"]})
    assert [row["name"] for row in rows(client, made)] == ["Ann", "Cleo"]
    assert (made["earlier_versions"], made["affected_models"]) == ([people["id"]], [])
    assert "Bob" not in str(client.get("/v1/audit").json())
    assert "Bob" not in str(made)
    penguins = {"id": dataset_id, "version": 1}
    made = make(client, penguins, "erase", {"column": "island", "values": ["Dream"]})
    assert made["affected_models"] == ["penguins@1"]


def test_the_line_of_versions_leads_both_ways(client: TestClient, people: dict[str, Any]) -> None:
    first = make(client, people, "transform", {"steps": [{"op": "drop_columns", "columns": ["name"]}]})
    second = make(client, first, "transform", {"steps": [{"op": "drop_missing"}]})
    shown = client.get(f"/v1/datasets/{first['id']}/lineage").json()
    assert [each["id"] for each in shown["ancestors"]] == [people["id"]]
    assert [(each["id"], each["operation"]) for each in shown["descendants"]] == [(second["id"], "transform")]
    assert client.delete(f"/v1/datasets/{first['id']}").status_code == 204
    assert client.get(f"/v1/datasets/{second['id']}/lineage").json()["ancestors"] == []
    assert rows(client, second) == [{"code": "007", "age": 31}, {"code": "009", "age": 45}]


def test_versions_are_made_by_a_job_when_asked(client: TestClient, people: dict[str, Any]) -> None:
    body = {"steps": [{"op": "drop_missing"}]}
    answer = client.post(
        f"/v1/datasets/{people['id']}/transform", json=body, headers={"prefer": "respond-async"}
    ).json()
    assert (answer["status"], answer["num_rows"], answer["parent"]) == ("processing", None, people["id"])
    assert_problem(client.delete(f"/v1/datasets/{people['id']}"), 409, "in-use")
