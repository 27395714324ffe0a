"""Batch predictions: a data set in, a data set of answers out, whatever dies meanwhile, or refused clearly."""

from __future__ import annotations

import json
import time
from typing import Any

import psutil
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from app.tables import PredictionBlockRow
from app.worker import Worker
from tests.counts import everything
from tests.jobs.runs import wait
from tests.learning.datasets import REPOSITORY
from tests.processes import Server, eventually, kill
from tests.test_errors import assert_problem
from tests.trained import Trained, store_version

URL = "/v1/predictions"
PENGUINS = (REPOSITORY / "examples" / "penguins.csv").read_bytes()
NAME = "answering"


def upload(server: Server, content: bytes) -> str:
    answer = server.http.post(f"/v1/datasets?name={NAME}", content=content, headers={"content-type": "text/csv"})
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["id"]
    return dataset_id


@pytest.fixture(scope="module")
def answering(steady: Server) -> str:
    """A version that requires the sex of a penguin; the id of its data set."""
    dataset_id = upload(steady, PENGUINS)
    body = {"dataset": dataset_id, "target": "species", "model": NAME, "spec": "linear", "params": {"epochs": 20}}
    body["preparation"] = {"columns": {"sex": {"missing": "reject"}}}
    known = [line for line in PENGUINS.splitlines() if b",," not in line]
    body["dataset"] = upload(steady, b"\n".join(known))
    job = steady.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90).json()
    assert job["status"] == "succeeded", job
    return dataset_id


def submit(server: Server, dataset: str, **more: Any) -> str:
    answer = server.http.post(URL, json={"dataset": dataset, "model": NAME, **more})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def test_a_data_set_comes_out_with_an_answer_for_each_row_and_the_rows_that_have_none_are_listed(
    steady: Server, answering: str
) -> None:
    job = wait(steady, submit(steady, answering, keep=["island", "sex"], name="answered"))
    assert (job["kind"], job["status"], job["model_version"]) == ("predict", "succeeded", f"{NAME}@1")
    made = job["prediction"]
    dataset = steady.http.get(f"/v1/datasets/{made['dataset']}").json()
    assert (dataset["name"], dataset["status"], dataset["parent"]) == ("answered", "ready", answering)
    assert dataset["origin"]["operation"] == "predict"
    assert dataset["origin"]["model"] == f"{NAME}@1"
    assert [column["name"] for column in dataset["columns"]] == [
        "island", "sex", "label", "probability_Adelie", "probability_Chinstrap", "probability_Gentoo",
    ]  # fmt: skip
    rows = steady.http.get(f"/v1/datasets/{dataset['id']}/rows?limit=1000").json()["data"]
    missing = [number for number, row in enumerate(rows) if row["sex"] is None]
    assert (made["num_rows"], made["num_rejected"]) == (len(rows), len(missing)) == (344, 11)
    assert [number for number, row in enumerate(rows) if row["label"] is None] == missing
    rejected = steady.http.get(f"/v1/jobs/{job['id']}/rejected").text.splitlines()
    assert {json.loads(line)["row"] for line in rejected} == set(missing)
    assert json.loads(rejected[0]) == {"row": missing[0], "column": "sex", "detail": "a value is required here"}
    assert job["progress"]["rows_done"] == 344
    for form, start in (("csv", b'"island"'), ("ndjson", b'{"island"'), ("parquet", b"PAR1")):
        assert steady.http.get(f"/v1/datasets/{dataset['id']}/export?format={form}").content.startswith(start)


def test_the_answers_are_those_of_single_predictions(steady: Server, answering: str) -> None:
    made = wait(steady, submit(steady, answering))["prediction"]
    sent = steady.http.get(f"/v1/datasets/{answering}/rows?limit=20").json()["data"]
    found = steady.http.get(f"/v1/datasets/{made['dataset']}/rows?limit=20").json()["data"]
    usable = [number for number, row in enumerate(sent) if row["sex"] is not None]
    rows = [{name: value for name, value in sent[number].items() if name != "species"} for number in usable]
    answers = steady.http.post(f"/v1/models/{NAME}/predict", json={"rows": rows}).json()["predictions"]
    for number, answer in zip(usable, answers, strict=True):
        assert found[number]["label"] == answer["label"]
        for name, share in answer["probabilities"].items():
            assert found[number][f"probability_{name}"] == pytest.approx(share, abs=1e-6)


def hold_after_a_block(server: Server, job_id: str) -> psutil.Process:
    """The process that answers, stopped after its first block: it runs for moments that are shorter than a block."""
    child = server.child()
    while not server.job(job_id)["progress"].get("rows_done"):
        child.resume()
        time.sleep(0.05)
        child.suspend()
    assert server.job(job_id)["progress"]["rows_done"] < server.job(job_id)["progress"]["num_rows"]
    return child


@pytest.mark.usefixtures("answering")
def test_a_killed_process_costs_no_finished_block_and_changes_no_byte(steady: Server) -> None:
    header, *lines = PENGUINS.splitlines()
    many = upload(steady, b"\n".join([header, *lines * 1000]))
    disturbed = submit(steady, many, keep=["year"])
    kill(hold_after_a_block(steady, disturbed))
    job = wait(steady, disturbed)
    assert (job["status"], job["attempt"]) == ("succeeded", 2), steady.story(disturbed)
    undisturbed = wait(steady, submit(steady, many, keep=["year"]))
    digests = [
        steady.http.get(f"/v1/datasets/{each['prediction']['dataset']}").json()["sha256"] for each in (job, undisturbed)
    ]
    assert digests[0] == digests[1]
    rejected = [steady.http.get(f"/v1/jobs/{each['id']}/rejected").content for each in (job, undisturbed)]
    assert rejected[0] == rejected[1]
    assert len(rejected[0].splitlines()) == job["prediction"]["num_rejected"] == 11_000

    paused = submit(steady, many)
    held = hold_after_a_block(steady, paused)
    steady.http.post(f"/v1/jobs/{paused}/pause")
    eventually(lambda: steady.job(paused)["control"] == "pause")
    time.sleep(0.5)
    held.resume()
    eventually(lambda: steady.job(paused)["status"] == "paused")
    steady.http.post(f"/v1/jobs/{paused}/resume")
    assert wait(steady, paused)["status"] == "succeeded"

    cancelled = submit(steady, many)
    held = hold_after_a_block(steady, cancelled)
    before = steady.http.get("/v1/datasets?limit=1").json()["first_id"]
    steady.http.post(f"/v1/jobs/{cancelled}/cancel")
    time.sleep(0.5)
    held.resume()
    assert wait(steady, cancelled)["status"] == "cancelled"
    assert steady.http.get("/v1/datasets?limit=1").json()["first_id"] == before
    assert_problem(steady.http.get(f"/v1/jobs/{cancelled}/rejected"), 404, "not-found")


def test_a_damaged_graph_fails_the_job_and_answers_nothing(
    app: FastAPI, client: TestClient, dataset_id: str, version: int
) -> None:
    digests = client.get(f"/v1/models/penguins/versions/{version}").json()["digests"]
    path = app.state.storage.path(digests["graph"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    job_id = client.post(URL, json={"dataset": dataset_id, "model": "penguins"}).json()["id"]
    worker = Worker(app.state.settings)
    try:
        assert worker._start_one(beside=False)
        for thread in worker._attempts:
            thread.join()
    finally:
        worker.engine.dispose()
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["error"]["code"]) == ("failed", "artifact-corrupt")
    assert job["prediction"] is None


def test_what_an_ended_job_has_left_in_the_middle_is_forgotten_and_swept(
    app: FastAPI, client: TestClient, dataset_id: str, version: int
) -> None:
    job_id = client.post(URL, json={"dataset": dataset_id, "model": f"penguins@{version}"}).json()["id"]
    with app.state.sessions.begin() as session:
        block = {"first_row": 0, "num_rows": 1, "num_rejected": 0, "warnings": []}
        session.add(PredictionBlockRow(job_id=job_id, sha256="a" * 64, rejected_sha256=None, **block))
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert everything(app)["prediction_blocks"] == 0


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "no-reference": ({"model": "a b"}, "/model"),
    "keep": ({"keep": ["island", "wings"]}, "/keep/1"),
    "keep-twice": ({"keep": ["island", "island"]}, "/keep/1"),
    "keep-number": ({"keep": [1]}, "/keep/0"),
    "interval": ({"interval": 0.85}, "/interval"),
    "interval-word": ({"interval": "wide"}, "/interval"),
    "name": ({"name": "a/b"}, "/name"),
    "prefix": ({"prefix": "x" * 65}, "/prefix"),
    "probabilities": ({"probabilities": "yes"}, "/probabilities"),
    "member": ({"target": "species"}, "/target"),
    "priority": ({"priority": 10**9}, "/priority"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.usefixtures("version")
def test_an_odd_batch_prediction_is_refused_with_a_pointer(
    app: FastAPI, client: TestClient, dataset_id: str, name: str
) -> None:
    body, pointer = ODD[name]
    before = everything(app)
    answer = client.post(URL, json={"dataset": dataset_id, "model": "penguins", **body})
    problem = assert_problem(answer, 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == pointer
    assert everything(app) == before


@pytest.mark.usefixtures("version")
def test_a_kept_column_must_not_be_called_as_an_answer_is(client: TestClient) -> None:
    content = PENGUINS.replace(b"species,", b"Label,", 1)
    sent = client.post("/v1/datasets?name=x", content=content, headers={"content-type": "text/csv"}).json()
    body = {"dataset": sent["id"], "model": "penguins", "keep": ["Label"]}
    problem = assert_problem(client.post(URL, json=body), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == "/keep/0"
    assert client.post(URL, json=body | {"prefix": "predicted_"}).status_code == 201


@pytest.mark.usefixtures("version")
def test_a_data_set_without_the_columns_is_refused_one_without_the_target_is_not(client: TestClient) -> None:
    for content, status in ((PENGUINS.replace(b"island", b"isle", 1), 422), (PENGUINS.replace(b"spec", b"sp", 1), 201)):
        sent = client.post("/v1/datasets?name=x", content=content, headers={"content-type": "text/csv"}).json()
        answer = client.post(URL, json={"dataset": sent["id"], "model": "penguins"})
        assert answer.status_code == status, answer.text
        if status == 422:
            assert answer.json()["errors"][0]["pointer"] == "/dataset"


@pytest.mark.usefixtures("version")
def test_what_is_not_there_is_not_found_and_nobody_else_s_is(
    client: TestClient, dataset_id: str, stranger: dict[str, str]
) -> None:
    for body in (
        {"dataset": dataset_id, "model": "penguins@7"},
        {"dataset": dataset_id, "model": "elsewhere"},
        {"dataset": dataset_id[:-4] + "0000", "model": "penguins"},
    ):
        assert_problem(client.post(URL, json=body), 404, "not-found")
    job_id = client.post(URL, json={"dataset": dataset_id, "model": "penguins"}).json()["id"]
    assert_problem(client.get(f"/v1/jobs/{job_id}/rejected"), 404, "not-found")
    assert_problem(client.get(f"/v1/jobs/{job_id}/rejected", headers=stranger), 404, "not-found")


def test_a_batch_prediction_is_a_create_that_can_be_repeated_and_keeps_its_data_set(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    store_version(app, owner, trained, dataset_id)
    body = {"dataset": dataset_id, "model": "penguins"}
    first, second = (client.post(URL, json=body, headers={"idempotency-key": "once"}) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert_problem(client.delete(f"/v1/datasets/{dataset_id}?cascade=true"), 409, "in-use")
