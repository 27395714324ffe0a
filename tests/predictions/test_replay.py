"""Replays: logged rows answered once more by another version, compared with the log and with the truth."""

from __future__ import annotations

import asyncio
import os
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from app.ids import new_id
from app.prediction_tables import LoggedRow
from app.principal import Principal
from app.tables import ModelRow
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained, store_version

MODEL = "/v1/models/penguins"
pytestmark = pytest.mark.usefixtures("version")
OTHER = ROW | {"island": "Torgersen", "bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181}


@pytest.fixture
def versions(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str, version: int) -> None:
    """Version 2 is like 1, 3 gives every label another name, 4 answers a value, 5 has a file of its own."""
    renamed, valued = deepcopy(trained.manifest), deepcopy(trained.manifest)
    classes = renamed["output"]["classes"]
    renamed["output"]["classes"] = [*classes[1:], classes[0]]
    valued["output"] |= {"classes": None, "shift": 10.0, "scale": 2.0}
    own = replace(trained, graph=trained.graph + b"\x0a\x00")
    for each in (trained, replace(trained, manifest=renamed), replace(trained, manifest=valued), own):
        store_version(app, owner, each, dataset_id)


def ask(app: FastAPI, client: TestClient, *rows: dict[str, Any], version: int = 1, **options: Any) -> str:
    """Have these rows answered and logged; the id of the answer."""
    answer = client.post(f"{MODEL}@{version}/predict", json={"rows": list(rows), **options})
    assert answer.status_code == 200, answer.text
    app.state.prediction_log.flush()
    return str(answer.json()["id"])


def enable(app: FastAPI, client: TestClient, **rule: Any) -> None:
    assert client.put(f"{MODEL}/log", json={"enabled": True, **rule}).status_code == 200
    app.state.prediction_log.refresh()


def insert(app: FastAPI, version: int, inputs: dict[str, Any], output: dict[str, Any], **more: Any) -> None:
    """Put a row into the log as if it had been answered."""
    with app.state.sessions.begin() as session:
        shape = {"model_id": session.scalars(select(ModelRow.id)).one(), "request_id": "r", "row": 0}
        session.add(LoggedRow(id=new_id("log"), version=version, inputs=inputs, output=output, **shape, **more))


def replay(client: TestClient, version: int, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{MODEL}/versions/{version}/replay", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.usefixtures("versions")
def test_a_version_that_answers_the_same_is_found_to_do_so_block_by_block(app: FastAPI, client: TestClient) -> None:
    enable(app, client)
    ask(app, client, *[ROW] * 7, *[OTHER] * 4)
    app.state.settings = app.state.settings.model_copy(update={"max_predict_rows": 3})
    told = replay(client, 2)
    assert (told["model"], told["num_rows"], told["num_answered"], told["num_refused"]) == ("penguins@2", 11, 11, 0)
    assert (told["equal_labels"], told["different"], told["refused"], told["missing"]) == (1.0, [], [], [])
    assert told["mean_absolute_difference"] <= told["max_absolute_difference"] < 1e-6
    assert told["truths"] is None
    told_of = {line.split(" ")[0]: line for line in client.get("/metrics").text.splitlines()}
    for version, num_requests in ((1, 1), (2, 0)):
        name = f'maas_prediction_rows_count{{model="penguins@{version}"}}'
        assert told_of[name] == f"{name} {num_requests}.0", "a replay is no traffic"
    for limit, num_rows in ((1, 1), (6, 6), (8, 8), (50, 11)):
        assert replay(client, 2, limit=limit)["num_rows"] == num_rows


@pytest.mark.usefixtures("versions")
def test_rows_that_are_answered_otherwise_are_shown_and_held_against_the_truth(
    app: FastAPI, client: TestClient
) -> None:
    enable(app, client)
    request = ask(app, client, ROW, OTHER, ROW)
    logged = [each["output"]["label"] for each in client.get(f"{MODEL}/log").json()["data"]][::-1]
    first = replay(client, 3)
    renamed = {each["row"]: each["replayed"] for each in first["different"]}
    truths = [{"request": request, "row": 0, "truth": renamed[0]}, {"request": request, "row": 1, "truth": logged[1]}]
    truths.append({"request": request, "row": 2, "truth": renamed[2]})
    client.post(f"{MODEL}/feedback", json={"data": truths})
    told = replay(client, 3, num_shown=2)
    assert (told["equal_labels"], told["num_rows"]) == (0.0, 3)
    assert told["mean_absolute_difference"] > 0.1
    assert [each["logged"] for each in told["different"]] == [logged[each["row"]] for each in told["different"]]
    apart = [each["difference"] for each in told["different"]]
    assert (len(apart), apart[0]) == (2, told["max_absolute_difference"])
    assert apart == sorted(apart, reverse=True)
    assert {(each["request"], each["version"]) for each in told["different"]} == {(request, 1)}
    assert told["truths"] == {
        "num_rows": 3,
        "logged": {"accuracy": pytest.approx(1 / 3), "rmse": None},
        "replayed": {"accuracy": pytest.approx(2 / 3), "rmse": None},
    }


def test_columns_that_the_log_leaves_out_count_as_missing_and_the_answer_says_so(
    app: FastAPI, client: TestClient
) -> None:
    enable(app, client, leave_out=["sex"])
    ask(app, client, ROW, {name: value for name, value in ROW.items() if name != "year"})
    told = replay(client, 1)
    assert told["num_answered"] == 2
    assert told["missing"] == [
        {"column": "sex", "num_rows": 2, "left_out": True},
        {"column": "year", "num_rows": 1, "left_out": False},
    ]


def test_a_row_that_the_version_refuses_is_shown_and_costs_no_other_row_its_answer(
    app: FastAPI, client: TestClient
) -> None:
    enable(app, client)
    ask(app, client, *[ROW] * 3)
    label = {"label": "Adelie"}
    insert(app, 1, ROW | {"bill_length_mm": "long"}, label)
    insert(app, 1, {}, label)
    told = replay(client, 1)
    assert (told["num_rows"], told["num_answered"], told["num_refused"], told["equal_labels"]) == (5, 3, 2, 1.0)
    assert [each["pointer"] for each in told["refused"]] == ["/", "/bill_length_mm"]
    assert "missing" in told["refused"][0]["detail"]
    assert replay(client, 1, num_shown=0)["refused"] == []


def test_options_of_the_logged_requests_leave_what_they_have_kept_to_be_compared(
    app: FastAPI, client: TestClient
) -> None:
    enable(app, client)
    ask(app, client, ROW, probabilities=False)
    told = replay(client, 1)
    assert (told["equal_labels"], told["mean_absolute_difference"]) == (1.0, None)
    ask(app, client, ROW, top_k=1)
    assert replay(client, 1)["mean_absolute_difference"] < 1e-6


@pytest.mark.usefixtures("versions")
def test_values_are_compared_as_values_and_never_with_labels(app: FastAPI, client: TestClient) -> None:
    value = client.post(f"{MODEL}@4/predict", json={"rows": [ROW]}).json()["predictions"][0]["value"]
    insert(app, 4, ROW, {"value": value + 3.0}, truth=value + 1.0, squared_error=4.0)
    insert(app, 4, ROW, {"value": value})
    told = replay(client, 4)
    assert (told["equal_labels"], told["mean_absolute_difference"]) == (None, pytest.approx(1.5))
    assert told["max_absolute_difference"] == pytest.approx(3.0)
    assert told["different"][0]["logged"] == value + 3.0
    assert told["truths"]["num_rows"] == 1
    assert told["truths"]["logged"] == {"accuracy": None, "rmse": 2.0}
    assert told["truths"]["replayed"] == {"accuracy": None, "rmse": pytest.approx(1.0)}
    insert(app, 1, ROW, {"label": "Adelie"})
    problem = assert_problem(client.post(f"{MODEL}/versions/4/replay"), 409, "conflict")
    assert "logged_version" in problem["detail"]
    assert_problem(client.post(f"{MODEL}/versions/1/replay"), 409, "conflict")
    assert (replay(client, 4, logged_version=4)["num_rows"], replay(client, 1, logged_version=1)["num_rows"]) == (2, 1)


def test_where_nothing_is_logged_nothing_is_known(client: TestClient) -> None:
    told = client.post(f"{MODEL}/versions/1/replay").json()
    assert (told["num_rows"], told["equal_labels"], told["max_absolute_difference"]) == (0, None, None)
    assert (told["truths"], told["different"], told["missing"]) == (None, [], [])


def test_a_replay_finds_no_room_where_other_predictions_find_none(app: FastAPI, client: TestClient) -> None:
    app.state.room._cores, app.state.room._max_waiting = asyncio.Semaphore(0), 0
    assert_problem(client.post(f"{MODEL}/versions/1/replay"), 503, "overloaded")


@pytest.mark.usefixtures("versions")
def test_a_damaged_version_is_never_replayed(app: FastAPI, client: TestClient, trained: Trained) -> None:
    os.truncate(app.state.storage.path(app.state.storage.put(trained.graph + b"\x0a\x00").sha256), 100)
    assert_problem(client.post(f"{MODEL}/versions/5/replay"), 503, "artifact-corrupt")


def test_unknown_and_foreign_versions_are_not_found(client: TestClient, stranger: dict[str, str]) -> None:
    assert_problem(client.post(f"{MODEL}/versions/99/replay"), 404, "not-found")
    assert_problem(client.post("/v1/models/nobody/versions/1/replay"), 404, "not-found")
    assert_problem(client.post(f"{MODEL}/versions/1/replay", headers=stranger), 404, "not-found")


def test_odd_wishes_are_refused_with_a_pointer(client: TestClient) -> None:
    for member, value in (
        *(("limit", 0), ("limit", 10_001), ("limit", "5")),
        *(("logged_version", 0), ("num_shown", 101), ("rows", [])),
    ):
        answer = client.post(f"{MODEL}/versions/1/replay", json={member: value})
        assert assert_problem(answer, 422, "validation-failed")["errors"][0]["pointer"] == f"/{member}"
