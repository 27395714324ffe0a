"""What a version is worth, over HTTP: evaluation, charts as data and pictures, the card."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update
from starlette.testclient import TestClient

from app.tables import ModelVersionRow
from tests.test_errors import assert_problem

URL = "/v1/models/penguins/versions/1"
CHARTS = {"confusion", "roc", "pr", "calibration", "confidence", "slices", "coverage"}


@pytest.fixture(autouse=True)
def stored(version: int) -> None:
    """The model penguins, with one version."""


def test_the_evaluation_says_how_good_a_version_is_on_its_test_rows(client: TestClient) -> None:
    job = client.get("/v1/jobs").json()["data"][0]
    found = client.get(f"{URL}/evaluation").json()
    assert (found["object"], found["model"], found["part"]) == ("evaluation", "penguins@1", "test")
    assert found["metrics"] == job["metrics"]["test"]
    assert found["intervals"] == job["metrics"]["intervals"]["test"]
    for name, (low, high) in found["intervals"].items():
        assert low <= high, name
    assert found["against_linear"]["log_loss"]["first"] == pytest.approx(found["metrics"]["log_loss"])
    assert set(found["charts"]) == CHARTS
    assert sum(map(sum, found["charts"]["confusion"]["values"])) == found["num_rows"]


def test_slices_name_column_and_value_and_the_worst_comes_first(client: TestClient) -> None:
    slices = client.get(f"{URL}/evaluation").json()["slices"]
    assert {each["column"] for each in slices} >= {"island", "bill_length_mm"}
    losses = [each["metrics"]["log_loss"] for each in slices]
    assert losses == sorted(losses, reverse=True)
    assert min(each["num_rows"] for each in slices) >= 10


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_every_chart_is_data_and_a_picture_that_stands_alone(client: TestClient, name: str) -> None:
    data = client.get(f"{URL}/charts/{name}.json").json()
    assert data == client.get(f"{URL}/evaluation").json()["charts"][name]
    picture = client.get(f"{URL}/charts/{name}.svg")
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert "style-src" in picture.headers["content-security-policy"]
    texts = [element.text or "" for element in ET.fromstring(picture.text).iter("{http://www.w3.org/2000/svg}text")]
    assert {data["title"], data["x_label"]} <= set(texts)
    for series in data.get("series", []):
        assert len(series["points"]) <= 200


def test_the_card_tells_quality_against_baselines_and_what_to_mind(client: TestClient) -> None:
    card = client.get(f"{URL}/card").json()
    quality = card["quality"]
    assert quality["metrics"]["log_loss"] < quality["constant"]["log_loss"]
    assert quality["linear"]["log_loss"] < quality["constant"]["log_loss"]
    assert card["calibration"]["method"] == "temperature"
    assert card["calibration"]["log_loss_after"] <= card["calibration"]["log_loss_before"]
    assert card["conformal"]["quantiles"]["0.99"] is None
    assert any("52 rows" in sentence for sentence in card["limits"])
    assert any("0.99" in sentence for sentence in card["limits"])
    assert card["training"]["seed"] == 0
    assert card["split"]["num_rows"]["test"] == 52
    assert card["libraries"]["torch"]


@pytest.mark.parametrize("path", ["charts/residuals.json", "charts/residuals.svg", "charts/x.svg"])
def test_a_chart_that_the_task_has_not_is_not_found(client: TestClient, path: str) -> None:
    assert_problem(client.get(f"{URL}/{path}"), 404, "not-found")


@pytest.mark.parametrize("path", ["evaluation", "card", "charts/roc.svg"])
def test_a_version_without_an_evaluation_has_none(app: FastAPI, client: TestClient, path: str) -> None:
    with app.state.sessions.begin() as session:
        session.execute(update(ModelVersionRow).values(evaluation_sha256=None))
    assert_problem(client.get(f"{URL}/{path}"), 404, "not-found")
    assert_problem(client.get(f"/v1/models/penguins/versions/9/{path}"), 404, "not-found")


def test_an_evaluation_is_verified_when_it_is_read(app: FastAPI, client: TestClient) -> None:
    sha256 = client.get(URL).json()["digests"]["evaluation"]
    path = app.state.storage.path(sha256)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"species", b"spinach"))
    assert_problem(client.get(f"{URL}/evaluation"), 503, "artifact-corrupt")


def test_an_evaluation_goes_with_its_data_set(app: FastAPI, client: TestClient, dataset_id: str) -> None:
    sha256 = client.get(URL).json()["digests"]["evaluation"]
    assert app.state.storage.path(sha256).exists()
    assert client.delete(f"/v1/datasets/{dataset_id}?cascade=true").status_code == 204
    assert not app.state.storage.path(sha256).exists()


def predict(client: TestClient, **body: Any) -> Any:
    row = {"island": "Biscoe", "bill_length_mm": 46.1, "flipper_length_mm": 211}
    return client.post("/v1/models/penguins@1/predict", json={"rows": [row], **body})


def test_a_prediction_answers_the_set_of_labels_with_the_coverage_asked_for(client: TestClient) -> None:
    plain, with_set = (predict(client, **body).json()["predictions"][0] for body in ({}, {"interval": 0.9}))
    assert "set" not in plain
    assert with_set["label"] in with_set["set"]
    assert plain == {name: value for name, value in with_set.items() if name != "set"}
    wider = predict(client, interval=0.95).json()["predictions"][0]["set"]
    assert set(with_set["set"]) <= set(wider)


@pytest.mark.parametrize("coverage", [0.99, 0.7, 1, True, "0.9", None, [0.9], -0.9, 1e308])
def test_a_coverage_that_is_not_on_offer_is_refused_with_the_ones_that_are(client: TestClient, coverage: Any) -> None:
    problem = assert_problem(predict(client, interval=coverage), 422, "schema-mismatch")
    assert problem["errors"][0]["pointer"] == "/interval"
    assert "0.95" in problem["errors"][0]["detail"]
    if coverage == 0.99:
        assert "too few" in problem["detail"]


def test_a_bound_key_sees_the_evaluation_of_its_model_only(
    client: TestClient, new_key: Callable[..., dict[str, str]]
) -> None:
    mine, other = (new_key("read", model=name) for name in ("penguins", "elsewhere"))
    for path in ("evaluation", "card", "charts/roc.svg", "charts/roc.json"):
        assert client.get(f"{URL}/{path}", headers=mine).status_code == 200
        assert client.get(f"{URL}/{path}", headers=other).status_code == 404
