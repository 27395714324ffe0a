"""MLflow's scoring server and KServe's first protocol: bodies that real clients make, and whose model it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import __version__
from app.settings import load
from tests.predictions.live import listening
from tests.trained import ROW

with warnings.catch_warnings():
    # The client warns about itself while it is imported.
    warnings.simplefilter("ignore")
    from mlflow.deployments import PredictionsResponse
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    from mlflow.utils.proto_json_utils import dump_input_data

URL = "/invocations?model=penguins"
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
ROWS = [ROW, ROW | {"bill_length_mm": 38.0, "bill_depth_mm": 18.5, "flipper_length_mm": 185, "island": "Torgersen"}]
NAMES = list(ROW)
MATRIX = [[row[name] for name in NAMES] for row in ROWS]


@pytest.fixture(autouse=True)
def stored(version: int) -> None:
    """The model penguins, with one version."""


@pytest.fixture
def expected(client: TestClient) -> list[dict[str, Any]]:
    """The native answer to the rows."""
    answer: list[dict[str, Any]] = client.post("/v1/models/penguins/predict", json={"rows": ROWS}).json()["predictions"]
    return answer


FORMS = {
    "records": {"dataframe_records": ROWS},
    "split": {"dataframe_split": {"columns": NAMES, "index": [7, 8], "data": MATRIX}},
    "instances": {"instances": ROWS},
    "inputs-by-column": {"inputs": {name: [row[name] for row in ROWS] for name in NAMES}},
    "inputs-by-column-nested": {"inputs": {name: [[row[name]] for row in ROWS] for name in NAMES}},
    "inputs-as-rows": {"inputs": ROWS},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_native_answers(client: TestClient, form: str, expected: list[dict[str, Any]]) -> None:
    answer = client.post(URL, json=FORMS[form])
    assert answer.json() == {"predictions": expected}


def test_arrays_without_names_stand_in_training_order(client: TestClient, expected: list[dict[str, Any]]) -> None:
    order = [column["name"] for column in client.get("/v2/models/penguins").json()["inputs"]]
    data = [[row[name] for name in order] for row in ROWS]
    for form in ("instances", "inputs"):
        assert client.post(URL, json={form: data}).json()["predictions"] == expected


def test_csv_has_the_native_answers(client: TestClient, expected: list[dict[str, Any]]) -> None:
    content = pandas.DataFrame(ROWS).to_csv(index=False)
    assert client.post(URL, content=content, headers=CSV).json() == {"predictions": expected}


@pytest.mark.filterwarnings("ignore")
def test_the_bodies_of_the_mlflow_client_are_read_and_it_reads_the_answers(
    client: TestClient, expected: list[dict[str, Any]]
) -> None:
    frame = pandas.DataFrame(ROWS)
    order = [column["name"] for column in client.get("/v2/models/penguins").json()["inputs"]]
    assert order == NAMES, "the array has no names"
    for data in (frame, ROWS, np.array(MATRIX, object)):
        answer = client.post(URL, content=dump_input_data(data), headers=JSON)
        read = PredictionsResponse.from_json(answer.text)
        assert read.get_predictions()["label"].tolist() == [prediction["label"] for prediction in expected]
    content = dump_input_data(frame, params={"top_k": 1})
    (first, _) = client.post(URL, content=content, headers=JSON).json()["predictions"]
    assert list(first["probabilities"]) == ["Gentoo"]


@pytest.mark.filterwarnings("ignore")
def test_the_mlflow_client_finds_the_server_ready(app: FastAPI) -> None:
    with listening(app) as port:
        server = ScoringServerClient("127.0.0.1", port)
        server.ping()
        assert server.get_version() == __version__
        with pytest.raises(Exception, match="UNAUTHENTICATED"):
            server.invoke(pandas.DataFrame(ROWS))


def test_which_model_is_asked_is_said_by_request_key_or_setting(
    app: FastAPI, client: TestClient, new_key: Callable[..., dict[str, str]]
) -> None:
    body = FORMS["records"]
    refused = client.post("/invocations", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "query:model")
    assert refused.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "MAAS_SERVED_MODEL" in refused.json()["message"]
    assert client.post("/invocations?model=penguins@1", json=body).status_code == 200
    assert client.post("/invocations", json=body, headers={"x-maas-model": "penguins"}).status_code == 200
    assert client.post("/invocations", json=body, headers=new_key("predict", model="penguins")).status_code == 200
    settings = load(environ={}, data_dir=app.state.settings.data_dir, served_model="penguins@1")
    app.state.settings = settings
    assert client.post("/invocations", json=body).status_code == 200
    assert client.post("/invocations?model=nothing", json=body).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/"),
        ([], "/"),
        (FORMS["records"] | FORMS["instances"], "/"),
        ({"dataframe_records": ROWS, "extra": 1}, "/extra"),
        ({"dataframe_records": [ROW, 7]}, "/dataframe_records/1"),
        ({"dataframe_records": [ROW | {"year": "x"}]}, "/dataframe_records/0/year"),
        ({"dataframe_split": {"columns": NAMES}}, "/dataframe_split"),
        ({"dataframe_split": {"columns": NAMES, "data": [MATRIX[0][:3]]}}, "/dataframe_split/data/0"),
        ({"dataframe_split": {"columns": ["year", "year"], "data": [[1, 2]]}}, "/dataframe_split/columns/1"),
        ({"inputs": {"year": [2008, "x"]}}, "/inputs/year/1"),
        ({"inputs": {"year": [2008], "sex": ["male", None]}}, "/inputs/sex"),
        ({"inputs": {"year": 2008}}, "/inputs/year"),
        ({"instances": [1, 2]}, "/instances/0"),
        ({"instances": [[1, 2]]}, "/instances/0"),
        ({"instances": ROWS, "params": {"nothing": 1}}, "/params/nothing"),
        ({"instances": ROWS, "params": {"top_k": 0}}, "/params/top_k"),
        ({"instances": ROWS, "params": [1]}, "/params"),
    ],
)
def test_a_refusal_points_into_the_form_that_was_sent(client: TestClient, body: Any, pointer: str) -> None:
    answer = client.post(URL, json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["errors"][0]["pointer"] == pointer
    assert problem["message"] == problem["detail"]
    assert "error" not in problem


def test_kserve_instances_have_the_native_answers(client: TestClient, expected: list[dict[str, Any]]) -> None:
    for reference in ("penguins", "penguins@1"):
        answer = client.post(f"/v1/models/{reference}:predict", json={"instances": ROWS})
        assert answer.json() == {"predictions": expected}
    refused = client.post("/v1/models/penguins:predict", json={"instances": [ROW | {"year": "x"}]})
    assert refused.json()["errors"][0]["pointer"] == "/instances/0/year"
    assert refused.json()["error"] == refused.json()["detail"]
    assert client.post("/v1/models/nothing:predict", json={"instances": ROWS}).status_code == 404
