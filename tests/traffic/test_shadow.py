"""Shadows: seen by nobody, compared with what clients got, and harmless whatever they do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.predictions.loaded import Loadable, LoadedModels
from app.predictions.measured import Measured
from app.predictions.shadowing import MOST_QUEUED, merge
from app.principal import Principal
from tests.processes import eventually
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained, store_version

ALIAS = "/v1/models/penguins/aliases/champion"
SHADOW = f"{ALIAS}/shadow"
PREDICT = "/v1/models/penguins@champion/predict"
BODY = {"rows": [ROW, ROW]}


@pytest.fixture(autouse=True)
def versions(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str, client: TestClient) -> Iterator[None]:
    """Version 1, which champion points at; 2 is the same, 3 gives every label another name, 4 has a file of its own."""
    manifest = deepcopy(trained.manifest)
    classes = manifest["output"]["classes"]
    manifest["output"]["classes"] = [*classes[1:], classes[0]]
    own = replace(trained, graph=trained.graph + b"\x0a\x00")
    for each in (trained, trained, replace(trained, manifest=manifest), own):
        store_version(app, owner, each, dataset_id)
    client.put(ALIAS, json={"version": 1})
    yield
    app.state.served.close()


def put(client: TestClient, version: int, **more: Any) -> None:
    """Put a version into the shadow, and wait until requests notice."""
    assert client.put(SHADOW, json={"version": version, **more}).status_code == 200
    time.sleep(0.9)


def ask(client: TestClient, times: int) -> None:
    """Predict; clients only ever see the version of the alias."""
    for _ in range(times):
        answer = client.post(PREDICT, json=BODY)
        assert (answer.status_code, answer.json()["model"]) == (200, "penguins@1")


def figures(client: TestClient, name: str, count: int) -> dict[str, Any]:
    """What is told of the shadow once a figure has come to so much."""

    def look() -> dict[str, Any] | None:
        told: dict[str, Any] = client.get(SHADOW).json()
        return told if told[name] >= count else None

    return eventually(look, seconds=30)


def test_a_shadow_that_answers_the_same_is_found_to_do_so(client: TestClient) -> None:
    put(client, 2)
    ask(client, 5)
    told = figures(client, "num_requests", 5)
    assert (told["num_requests"], told["num_rows"], told["num_failed"], told["num_dropped"]) == (5, 10, 0, 0)
    assert (told["equal_labels"], told["mean_absolute_difference"]) == (1.0, 0.0)
    assert 0 < told["latency"]["mean_ms"] <= told["latency"]["max_ms"]
    assert 0 < told["shadow_latency"]["mean_ms"] <= told["shadow_latency"]["max_ms"]
    assert told["last_errors"] == []


def test_a_shadow_that_answers_otherwise_is_told_by_labels_and_probabilities_in_every_protocol(
    client: TestClient,
) -> None:
    put(client, 3)
    ask(client, 3)
    inputs = [
        {"name": name, "shape": [1], "data": [value], "datatype": "BYTES" if isinstance(value, str) else "FP64"}
        for name, value in ROW.items()
    ]
    assert client.post("/v2/models/penguins@champion/infer", json={"inputs": inputs}).status_code == 200
    told = figures(client, "num_requests", 4)
    assert (told["num_rows"], told["equal_labels"]) == (7, 0.0)
    assert told["mean_absolute_difference"] > 0.1


def test_a_shadow_that_fails_does_no_harm_and_says_why(client: TestClient, app: FastAPI, trained: Trained) -> None:
    os.truncate(app.state.storage.path(app.state.storage.put(trained.graph + b"\x0a\x00").sha256), 100)
    put(client, 4)
    ask(client, 7)
    told = figures(client, "num_failed", 7)
    assert (told["num_requests"], told["equal_labels"], told["latency"]) == (0, None, None)
    assert len(told["last_errors"]) == 5
    assert "damaged" in told["last_errors"][0]["detail"]


def test_requests_never_wait_for_a_shadow_and_what_it_misses_is_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, go_on = LoadedModels.load, threading.Event()

    def load(self: LoadedModels, model: Loadable) -> Measured:
        if model.version == 2:
            go_on.wait(60)
        return real(self, model)

    monkeypatch.setattr(LoadedModels, "load", load)
    put(client, 2)
    ask(client, MOST_QUEUED + 20)
    go_on.set()
    told = figures(client, "num_requests", MOST_QUEUED)
    assert told["num_dropped"] >= 15
    assert told["num_dropped"] + told["num_requests"] == MOST_QUEUED + 20


def test_a_share_of_the_requests_is_shown(client: TestClient) -> None:
    put(client, 2, share=0.001)
    ask(client, 20)
    time.sleep(1.2)
    assert client.get(SHADOW).json()["num_requests"] < 5


def test_a_shadow_is_set_anew_and_taken_away(client: TestClient) -> None:
    put(client, 2)
    ask(client, 1)
    figures(client, "num_requests", 1)
    assert_problem(client.delete("/v1/models/penguins/versions/2"), 409, "in-use")
    assert client.put(SHADOW, json={"version": 2}).json()["num_requests"] == 0
    assert client.delete(SHADOW).status_code == 204
    assert_problem(client.get(SHADOW), 404, "not-found")
    assert client.delete("/v1/models/penguins/versions/2").status_code == 204


def test_an_alias_takes_its_shadow_along(client: TestClient) -> None:
    client.put(SHADOW, json={"version": 2})
    client.delete(ALIAS)
    client.put(ALIAS, json={"version": 1})
    assert client.get(SHADOW).status_code == 404
    client.put(SHADOW, json={"version": 2})
    assert client.delete("/v1/models/penguins").status_code == 204


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/version"),
        ({"version": 9}, "/version"),
        ({"version": 2, "share": 0.0}, "/share"),
        ({"version": 2, "share": 1.5}, "/share"),
        ({"version": 2, "share": "1"}, "/share"),
        ({"version": 2, "alias": "x"}, "/alias"),
    ],
)
def test_an_odd_shadow_is_refused_with_a_pointer(client: TestClient, body: Any, pointer: str) -> None:
    problem = assert_problem(client.put(SHADOW, json=body), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == pointer
    assert_problem(client.put("/v1/models/penguins/aliases/nobody/shadow", json={"version": 1}), 404, "not-found")


def test_tallies_add_up() -> None:
    first = {"num_rows": 2, "max_seconds": 0.3, "errors": [{"detail": str(n)} for n in range(4)]}
    second = {"num_rows": 3, "num_failed": 1, "max_seconds": 0.2, "errors": [{"detail": "a"}, {"detail": "b"}]}
    merged = merge(first, second)
    assert (merged["num_rows"], merged["num_failed"], merged["max_seconds"]) == (5, 1, 0.3)
    assert [each["detail"] for each in merged["errors"]] == ["1", "2", "3", "a", "b"]
