"""Studies refused and accepted: every odd request is told where it is wrong, and leaves nothing behind."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.counts import everything
from tests.studies.playing import EXTERNAL, SPACE, Stage

RATE = {"type": "float", "low": 0.001, "high": 0.1}
# What is changed in a good request, and where it is refused.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"dataset": None}, "/dataset"),
    ({"target": None}, "/target"),
    ({"target": "nothing"}, "/target"),
    ({"space": None}, "/space"),
    ({"space": []}, "/space"),
    ({"space": {}}, "/space"),
    ({"space": {"learning_rate": {"type": "float", "low": 0.1}}}, "/space/learning_rate/high"),
    ({"space": {"lr": RATE}}, "/space/lr"),
    ({"space": {"epochs": {"type": "int", "low": 0, "high": 5}}}, "/space/epochs/low"),
    ({"space": {"learning_rate": RATE}, "params": {"learning_rate": 0.1}}, "/space/learning_rate"),
    ({"space": {"hidden": {"type": "categorical", "choices": [[8], [65536] * 9]}}}, "/space/hidden"),
    ({"space": {"momentum": {"type": "float", "low": 0.1, "high": 0.9}}}, "/space/momentum"),
    ({"params": {"epochs": 0}}, "/params/epochs"),
    ({"params": {"nothing": 1}}, "/params/nothing"),
    ({"spec": "nothing"}, "/spec"),
    ({"task": "regression"}, "/task"),
    ({"metric": "rmse"}, "/metric"),
    ({"metric": "accuracy", "direction": "minimize"}, "/direction"),
    ({"direction": "up"}, "/direction"),
    ({"sampler": "grid"}, "/space/learning_rate/step"),
    ({"sampler": "cmaes"}, "/sampler"),
    ({"pruner": "hyperband"}, "/pruner"),
    ({"num_trials": 0}, "/num_trials"),
    ({"num_trials": 10_001}, "/num_trials"),
    ({"parallel": 0}, "/parallel"),
    ({"seed": -1}, "/seed"),
    ({"split": {"validation": 0.0}}, "/split/validation"),
    ({"split": {"validation": 2}}, "/split/validation"),
    ({"preparation": {"numeric": {"scaling": "x"}}}, "/preparation/numeric/scaling"),
    ({"limits": {"wall_seconds": 0}}, "/limits/wall_seconds"),
    ({"limits": {"trial_wall_seconds": 1e7}}, "/limits/trial_wall_seconds"),
    ({"limits": {"memory_bytes": 2**50}}, "/limits/memory_bytes"),
    ({"limits": {"trials": 5}}, "/limits/trials"),
    ({"lease_seconds": 60}, "/lease_seconds"),
    ({"model": "a/b"}, "/model"),
    ({"nothing": 1}, "/nothing"),
]
BAD_EXTERNAL: list[tuple[dict[str, Any], str]] = [
    ({"dataset": "ds_1"}, "/dataset"),
    ({"target": "y"}, "/target"),
    ({"spec": "dense"}, "/spec"),
    ({"params": {}}, "/params"),
    ({"metric": "accuracy"}, "/metric"),
    ({"limits": {"memory_bytes": 2**30}}, "/limits/memory_bytes"),
    ({"lease_seconds": 0}, "/lease_seconds"),
    ({"sampler": "grid"}, "/space/x/step"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD)
def test_a_bad_study_is_refused_at_the_field(stage: Stage, change: dict[str, Any], pointer: str) -> None:
    body = {"dataset": stage.dataset_id, "target": "species", "space": SPACE} | change
    before = everything(stage.app)
    answer = stage.client.post("/v1/studies", json={name: value for name, value in body.items() if value is not None})
    assert answer.status_code == 422, answer.text
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    assert everything(stage.app) == before


@pytest.mark.parametrize(("change", "pointer"), BAD_EXTERNAL)
def test_a_bad_external_study_is_refused_at_the_field(client: TestClient, change: dict[str, Any], pointer: str) -> None:
    answer = client.post("/v1/studies", json=EXTERNAL | change)
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


def test_a_study_says_all_that_was_decided_for_it(stage: Stage) -> None:
    body = {"dataset": stage.dataset_id, "target": "species", "space": SPACE}
    answer = stage.client.post("/v1/studies", json=body)
    study = answer.json()
    assert answer.headers["location"] == f"/v1/studies/{study['id']}"
    assert stage.study(study["id"]) == study
    decided = ("status", "model", "task", "metric", "direction", "sampler", "pruner", "num_trials", "parallel")
    assert [study[name] for name in decided] == [
        "running", "penguins", "multiclass", "log_loss", "minimize", "tpe", "none", 20, stage.settings.worker_slots,
    ]  # fmt: skip
    assert study["split"]["method"] == "stratified"
    assert study["best"] is None


def test_a_grid_has_as_many_trials_as_combinations(stage: Stage) -> None:
    steps = {"dropout": {"type": "float", "low": 0.0, "high": 0.4, "step": 0.1}, "hidden": SPACE["hidden"]}
    assert stage.study(stage.create(space=steps, sampler="grid"))["num_trials"] == 10
    assert stage.study(stage.create(space=steps, sampler="grid", num_trials=99))["num_trials"] == 10
    assert stage.study(stage.create(space=steps, sampler="grid", num_trials=3))["num_trials"] == 3


def test_the_same_key_makes_one_study(stage: Stage) -> None:
    body = {"dataset": stage.dataset_id, "target": "species", "space": SPACE}
    answers = [stage.client.post("/v1/studies", json=body, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(stage.client.get("/v1/studies").json()["data"]) == 1


def test_without_optuna_tpe_names_the_extra_and_the_others_work(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    body = {"dataset": stage.dataset_id, "target": "species", "space": SPACE}
    refused = stage.client.post("/v1/studies", json=body | {"sampler": "tpe"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/sampler"
    assert "maas[tune]" in refused.json()["detail"]
    assert stage.client.post("/v1/studies", json=body).json()["sampler"] == "random"
    grid = {"hidden": SPACE["hidden"]}
    assert stage.client.post("/v1/studies", json=body | {"space": grid, "sampler": "grid"}).status_code == 201


def test_a_foreign_data_set_is_not_found(stage: Stage, stranger: dict[str, str]) -> None:
    body = {"dataset": stage.dataset_id, "target": "species", "space": SPACE}
    assert stage.client.post("/v1/studies", json=body, headers=stranger).status_code == 404


def test_lists_are_newest_first_and_by_status(stage: Stage) -> None:
    ids = [stage.create() for _ in range(3)]
    stage.act(ids[0], "cancel")
    listed = stage.client.get("/v1/studies?limit=2").json()
    assert [each["id"] for each in listed["data"]] == ids[:0:-1]
    assert listed["has_more"]
    rest = stage.client.get(f"/v1/studies?after={listed['last_id']}").json()["data"]
    assert [each["id"] for each in rest] == ids[:1]
    assert [each["id"] for each in stage.client.get("/v1/studies?status=cancelled").json()["data"]] == ids[:1]
    assert stage.client.get("/v1/studies?after=job_1").status_code == 400
    assert stage.client.get("/v1/studies/study_0/trials").status_code == 404


def test_a_project_may_have_so_many_unfinished_studies(app: FastAPI, client: TestClient) -> None:
    app.state.settings = app.state.settings.model_copy(update={"max_queued_jobs": 2})
    answers = [client.post("/v1/studies", json=EXTERNAL) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 503]
    assert "retry-after" in answers[2].headers
