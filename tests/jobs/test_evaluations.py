"""Evaluations on request: on own and other rows, by any column, two versions side by side, or refused clearly."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from tests.counts import everything
from tests.learning.datasets import REPOSITORY
from tests.processes import Server
from tests.test_errors import assert_problem
from tests.trained import Trained, store_version

URL = "/v1/models/penguins@1/evaluate"
PENGUINS = (REPOSITORY / "examples" / "penguins.csv").read_bytes()
NAME = "measured"


def upload(server: Server, content: bytes, name: str = NAME) -> str:
    answer = server.http.post(f"/v1/datasets?name={name}", content=content, headers={"content-type": "text/csv"})
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["id"]
    return dataset_id


@pytest.fixture(scope="module")
def measured(steady: Server) -> str:
    """Two versions of a model on one data set, with other seeds, so with other splits; the data set's id."""
    dataset_id = upload(steady, PENGUINS)
    for seed, spec in ((0, "linear"), (1, "dense")):
        body = {"dataset": dataset_id, "target": "species", "model": NAME, "spec": spec, "seed": seed}
        body |= {"params": {"epochs": 30}}
        answer = steady.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90)
        assert answer.json()["status"] == "succeeded", answer.text
    return dataset_id


def evaluate(server: Server, reference: str, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The job, and what it found."""
    url = f"/v1/models/{reference}/evaluate"
    answer = server.http.post(url, json=body, headers={"prefer": "wait=60"}, timeout=90)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert job["status"] == "succeeded", job["error"]
    found = server.http.get(f"/v1/jobs/{job['id']}/evaluation")
    return job, found.json()


@pytest.mark.usefixtures("measured")
def test_a_version_measured_again_on_its_test_rows_is_as_good_as_its_training_said(steady: Server) -> None:
    job, found = evaluate(steady, f"{NAME}@1")
    assert (job["kind"], job["status"], job["model_version"]) == ("evaluate", "succeeded", f"{NAME}@1")
    trained = steady.http.get(f"/v1/models/{NAME}/versions/1/evaluation").json()
    assert (found["model"], found["part"], found["overlap"]) == (
        f"{NAME}@1", "test", {f"{NAME}@1": {"train": 0, "validation": 0}},
    )  # fmt: skip
    assert found["metrics"] == pytest.approx(trained["metrics"], abs=1e-6)
    assert found["intervals"]["log_loss"] == pytest.approx(trained["intervals"]["log_loss"], abs=1e-6)
    assert [each["label"] for each in found["slices"]] == [each["label"] for each in trained["slices"]]
    assert job["metrics"]["test"] == found["metrics"]
    assert found["warnings"] == []


def test_an_ensemble_trains_on_a_server_and_its_test_rows_are_known_to_what_is_served(
    steady: Server, measured: str
) -> None:
    body = {"dataset": measured, "target": "species", "model": "together", "spec": "ensemble"}
    body |= {"params": {"members": ["linear", "bins", "trees"], "folds": 2}}
    answer = steady.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90).json()
    assert answer["status"] == "succeeded", answer
    rows = [{"island": "Biscoe", "bill_length_mm": 46.1, "flipper_length_mm": 211, "body_mass_g": 5300}]
    told = steady.http.post("/v1/models/together@1/predict", json={"rows": rows}).json()["predictions"][0]
    assert told["label"] == "Gentoo"
    _, found = evaluate(steady, "together@1")
    assert found["overlap"]["together@1"]["train"] == 52
    assert "learned from 52 of these rows" in found["warnings"][0]


def test_the_rows_of_the_training_are_measured_with_a_warning(steady: Server, measured: str) -> None:
    for body in ({"part": "train"}, {"part": "all"}, {"dataset": measured, "part": "all"}):
        _, found = evaluate(steady, f"{NAME}@1", **body)
        overlap = found["overlap"][f"{NAME}@1"]
        assert overlap["train"] == 240
        assert overlap["validation"] == (0 if body["part"] == "train" else 52)
        assert "learned from 240 of these rows" in found["warnings"][0]
        assert found["coverage"] == []


@pytest.mark.usefixtures("measured")
def test_two_versions_are_compared_on_the_same_rows_and_what_one_of_them_knows_is_told(steady: Server) -> None:
    _, found = evaluate(steady, f"{NAME}@1", against=f"{NAME}@2")
    comparison = found["comparison"]
    assert comparison["model"] == f"{NAME}@2"
    difference = comparison["differences"]["log_loss"]
    assert difference["first"] == pytest.approx(found["metrics"]["log_loss"])
    assert difference["difference"] == pytest.approx(difference["first"] - difference["second"])
    low, high = difference["interval"]
    assert low <= difference["difference"] <= high
    assert 0 < difference["p_value"] <= 1
    # The second split the same data set otherwise, so it has learned from most of these rows.
    assert found["overlap"][f"{NAME}@1"] == {"train": 0, "validation": 0}
    assert found["overlap"][f"{NAME}@2"]["train"] > 20
    assert found["warnings"][0].startswith(f"{NAME}@2 has learned from")


@pytest.mark.usefixtures("measured")
def test_any_column_can_be_sliced_the_target_too(steady: Server) -> None:
    _, found = evaluate(steady, f"{NAME}@1", slices=["species", "year"])
    assert {each["column"] for each in found["slices"]} == {"species", "year"}
    assert {each["label"] for each in found["slices"] if each["column"] == "species"} == {
        "Adelie",
        "Chinstrap",
        "Gentoo",
    }


@pytest.mark.usefixtures("measured")
def test_other_rows_are_measured_whole_and_those_that_cannot_be_are_counted(steady: Server) -> None:
    header, *lines = PENGUINS.decode().splitlines()
    odd = [lines[0].replace("Adelie", "Emperor"), "," + lines[1].partition(",")[2]]
    columns = header.split(",")
    other = upload(steady, "\n".join([header, *lines[:60], *lines[-60:], *odd]).encode(), name="others")
    job, found = evaluate(steady, f"{NAME}@1", dataset=other)
    assert (found["part"], found["num_rows"], found["dataset"]) == ("all", 120, other)
    told = [e["message"] for e in steady.http.get(f"/v1/jobs/{job['id']}/events?limit=100").json()["data"]]
    assert any("1 rows have a class that was not learned" in message for message in told)
    assert any("1 rows have no value in the target" in message for message in told)
    assert columns[0] == "species"


@pytest.mark.usefixtures("measured")
def test_the_answers_are_computed_in_a_confined_child(steady: Server) -> None:
    job, _ = evaluate(steady, f"{NAME}@1")
    events = steady.http.get(f"/v1/jobs/{job['id']}/events?limit=100").json()["data"]
    layers = next(event["data"]["layers"] for event in events if event["type"] == "sandbox")
    assert "seccomp" in layers


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "part": ({"part": "tests"}, "/part"),
    "slice": ({"slices": ["island", "wings"]}, "/slices/1"),
    "slice-number": ({"slices": [1]}, "/slices/0"),
    "slices": ({"slices": ["island"] * 51}, "/slices"),
    "against-nothing": ({"against": "penguins@9"}, "/against"),
    "against-itself": ({"against": "penguins"}, "/against"),
    "against-no-reference": ({"against": "a b"}, "/against"),
    "seed": ({"seed": -1}, "/seed"),
    "member": ({"metric": "f1"}, "/metric"),
    "limits": ({"limits": {"memory_bytes": 2**62}}, "/limits/memory_bytes"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.usefixtures("version")
def test_an_odd_evaluation_is_refused_with_a_pointer(app: FastAPI, client: TestClient, name: str) -> None:
    body, pointer = ODD[name]
    before = everything(app)
    code = "limits-exceeded" if name == "limits" else "validation-failed"
    problem = assert_problem(client.post(URL, json=body), 422, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert everything(app) == before


@pytest.mark.usefixtures("version")
def test_what_is_not_there_is_not_found(client: TestClient, dataset_id: str) -> None:
    for url, body in (
        ("/v1/models/penguins@7/evaluate", {}),
        ("/v1/models/elsewhere/evaluate", {}),
        (URL, {"dataset": dataset_id[:-4] + "0000"}),
    ):
        assert_problem(client.post(url, json=body), 404, "not-found")
    job_id = client.post(URL, json={}).json()["id"]
    assert_problem(client.get(f"/v1/jobs/{job_id}/evaluation"), 404, "not-found")


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"a,b\n1,2\n3,4\n5,6\n", "has no column"),
        (PENGUINS.replace(b"species,", b"kind,", 1), "has no column species"),
    ],
)
def test_a_data_set_without_the_columns_is_refused(client: TestClient, content: bytes, word: str) -> None:
    sent = client.post("/v1/datasets?name=x", content=content, headers={"content-type": "text/csv"}).json()
    problem = assert_problem(client.post(URL, json={"dataset": sent["id"]}), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == "/dataset"
    assert word in problem["detail"]


def test_a_part_belongs_to_the_data_set_of_the_training(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    store_version(app, owner, trained, dataset_id)
    cut = b"\n".join(PENGUINS.splitlines()[:200])
    sent = client.post("/v1/datasets?name=x", content=cut, headers={"content-type": "text/csv"}).json()
    assert_problem(client.post(URL, json={"dataset": sent["id"], "part": "test"}), 422, "validation-failed")
    assert client.post(URL, json={"dataset": sent["id"], "part": "all"}).status_code == 201


@pytest.mark.usefixtures("version")
def test_an_evaluation_is_a_create_that_can_be_repeated(client: TestClient) -> None:
    headers = {"idempotency-key": "once"}
    first, second = (client.post(URL, json={}, headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert first.headers["location"] == f"/v1/jobs/{first.json()['id']}"
    assert_problem(client.post("/v1/models/penguins/evaluate", json={}, headers=headers), 422, "idempotency-mismatch")
    assert math.isfinite(first.json()["limits"]["wall_seconds"])
