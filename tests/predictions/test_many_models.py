"""A thousand models in one server and fifty in memory: warm ones stay warm, and one that is damaged harms no other."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import insert, select
from starlette.testclient import TestClient

from app.column_types import now
from app.ids import new_id
from app.learning.runtime import Predictor
from app.predictions.loaded import Loadable, LoadedModels
from app.principal import Principal
from app.remembering import Remembered
from app.storage import Storage
from app.tables import ModelRow, ModelVersionRow
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained

NUM_MODELS, NUM_IN_MEMORY = 1000, 50
BODY = {"rows": [ROW]}


def counting_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of graphs that are read from now on."""
    read: list[str] = []
    real = Storage.read

    def note(self: Storage, sha256: str) -> bytes:
        read.append(sha256)
        return real(self, sha256)

    monkeypatch.setattr(Storage, "read", note)
    return read


@pytest.fixture
def thousand(app: FastAPI, owner: Principal, trained: Trained, version: int) -> int:
    """As many models as that, m0, m1 …, with one version each; the memory of one."""
    with app.state.sessions.begin() as session:
        stored = session.scalars(select(ModelVersionRow)).one()
        columns = [column.name for column in ModelVersionRow.__table__.columns]
        values = {name: getattr(stored, name) for name in columns}
        ids = [new_id("model") for _ in range(NUM_MODELS)]
        models = [
            {"id": each, "project_id": owner.project_id, "name": f"m{number}", "num_versions": 1, "created_at": now()}
            for number, each in enumerate(ids)
        ]
        session.execute(insert(ModelRow), models)
        session.execute(insert(ModelVersionRow), [values | {"model_id": each, "version": 1} for each in ids])
    one = Predictor.load(trained.manifest, trained.graph).size_bytes
    app.state.served.loaded = LoadedModels(app.state.storage, budget_bytes=NUM_IN_MEMORY * one)
    return one


def ask(client: TestClient, number: int) -> float:
    """The seconds that a model took to answer."""
    started = time.perf_counter()
    answer = client.post(f"/v1/models/m{number}/predict", json=BODY)
    assert answer.json()["model"] == f"m{number}@1", answer.text
    return time.perf_counter() - started


def test_warm_models_stay_warm_while_others_come_and_go(
    client: TestClient, app: FastAPI, thousand: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = range(20)
    for number in (*warm, *warm):
        ask(client, number)
    read = counting_loads(monkeypatch)
    cold, num_asked = [], 0
    for number in range(100, 180):
        cold.append(ask(client, number))
        num_asked += 1
        assert app.state.served.loaded.size_bytes <= NUM_IN_MEMORY * thousand
    for number in warm:
        ask(client, number)
    assert len(read) == num_asked, "a warm model was read again"
    # With the look at the database, on a machine that does other things, too.
    assert statistics.median(cold) < 0.2


def test_a_small_model_is_loaded_in_milliseconds(app: FastAPI, trained: Trained) -> None:
    loaded = LoadedModels(app.state.storage, budget_bytes=10**9)
    model = Loadable("m@1", "model_1", 0, app.state.storage.put(trained.graph).sha256, trained.manifest)
    taken = []
    for number in range(1, 20):
        started = time.perf_counter()
        loaded.load(replace(model, version=number)).predict_rows([ROW])
        taken.append(time.perf_counter() - started)
    assert statistics.median(taken) < 0.03


@pytest.mark.usefixtures("thousand")
def test_a_damaged_file_fails_its_own_model_and_no_other(client: TestClient, app: FastAPI, trained: Trained) -> None:
    ask(client, 1)
    with app.state.sessions.begin() as session:
        model = session.scalars(select(ModelRow).where(ModelRow.name == "m7")).one()
        other = app.state.storage.put(trained.graph + b"\x00").sha256
        session.get_one(ModelVersionRow, (model.id, 1)).graph_sha256 = other
    os.truncate(app.state.storage.path(other), 100)
    for _ in range(2):
        assert_problem(client.post("/v1/models/m7/predict", json=BODY), 503, "artifact-corrupt")
        ask(client, 1)
        ask(client, 8)
    assert client.get("/v1/models/m7/versions/1").json()["status"] == "corrupt"
    assert client.get("/v1/models/m8/versions/1").json()["status"] == "ready"


@pytest.mark.usefixtures("version")
def test_what_is_asked_for_all_the_time_waits_for_no_database(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, waited = Remembered.look, []

    async def look(self: Remembered[Any, Any], key: Any, *more: Any) -> Any:
        waited.append(key)
        return await real(self, key, *more)

    monkeypatch.setattr(Remembered, "look", look)
    ends = time.monotonic() + 2.5
    while time.monotonic() < ends:
        assert client.post("/v1/models/penguins/predict", json=BODY).status_code == 200
    # Once for the key, once for the version.
    assert len(waited) <= 2
