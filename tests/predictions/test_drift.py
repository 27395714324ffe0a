"""The route of drift: logged rows against the training data of their version."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update
from starlette.testclient import TestClient

from app.tables import ModelVersionRow
from tests.test_errors import assert_problem
from tests.trained import ROW

PATH = "/v1/models/penguins/versions/1/drift"


@pytest.fixture
def logged(client: TestClient, app: FastAPI, version: int) -> TestClient:
    """A client of a model that is logged."""
    client.put("/v1/models/penguins/log", json={"enabled": True}).raise_for_status()
    app.state.prediction_log.refresh()
    return client


def ask(client: TestClient, app: FastAPI, rows: list[dict[str, Any]]) -> None:
    client.post("/v1/models/penguins@1/predict", json={"rows": rows}).raise_for_status()
    app.state.prediction_log.flush()


def test_what_is_asked_elsewhere_than_in_training_has_drifted(logged: TestClient, app: FastAPI) -> None:
    # Of Gentoo penguins alone, and far heavier than any.
    ask(logged, app, [ROW | {"body_mass_g": 9000 + number} for number in range(120)])
    drift = logged.get(PATH).json()
    columns = {each["name"]: each for each in drift["columns"]}
    assert (drift["model"], drift["num_rows"]) == ("penguins@1", 120)
    assert columns["body_mass_g"]["level"] == columns["island"]["level"] == "large"
    assert columns["body_mass_g"]["ks"] == 1
    assert (drift["output"]["name"], drift["output"]["level"]) == ("species", "large")
    told = logged.get("/metrics").text
    assert 'maas_drift_psi{column="body_mass_g",model="penguins@1"}' in told
    assert 'maas_drift_output_psi{model="penguins@1"}' in told


def test_the_figures_of_a_project_are_its_own(logged: TestClient, app: FastAPI, stranger: dict[str, str]) -> None:
    ask(logged, app, [ROW] * 60)
    logged.get(PATH).raise_for_status()
    assert logged.get(PATH, headers=stranger).status_code == 404
    assert "maas_drift_psi{" not in logged.get("/metrics", headers=stranger).text


def test_without_logged_rows_nothing_is_known(logged: TestClient) -> None:
    drift = logged.get(PATH).json()
    assert (drift["num_rows"], drift["columns"], drift["output"]["level"]) == (0, [], "unknown")
    assert logged.get(PATH, params={"hours": 0}).status_code == 422


def test_without_its_training_data_there_is_nothing_to_compare_with(logged: TestClient, app: FastAPI) -> None:
    with app.state.sessions.begin() as session:
        session.execute(update(ModelVersionRow).values(dataset_id=None))
    assert_problem(logged.get(PATH), 409, "conflict")
