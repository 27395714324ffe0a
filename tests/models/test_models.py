"""Models: versions that keep their numbers, aliases that move only forward, deletes that break nothing."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained, store_version

ALIAS = "/v1/models/penguins/aliases/champion"


@pytest.fixture
def versions(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> list[int]:
    """Three versions of the model penguins."""
    return [store_version(app, owner, trained, dataset_id) for _ in range(3)]


def test_a_version_tells_what_it_is_made_of(client: TestClient, trained: Trained, version: int) -> None:
    read = client.get(f"/v1/models/penguins/versions/{version}").json()
    assert (read["model"], read["version"], read["reference"], read["status"]) == ("penguins", 1, "penguins@1", "ready")
    assert read["digests"]["weights"] == hashlib.sha256(trained.weights).hexdigest()
    assert read["digests"]["dataset"] == hashlib.sha256(trained.sent).hexdigest()
    assert set(read["digests"]) == {"weights", "graph", "evaluation", "manifest", "dataset", "table"}
    assert read["lineage"]["job"].startswith("job_")
    assert read["size_bytes"] == len(trained.weights) + len(trained.graph)
    assert read["metrics"] == trained.metrics
    assert read["manifest"] == trained.manifest


def test_a_model_tells_its_versions_and_aliases(client: TestClient, versions: list[int]) -> None:
    client.put(ALIAS, json={"version": 2})
    read = client.get("/v1/models/penguins").json()
    assert (read["num_versions"], read["latest_version"], read["aliases"]) == (3, 3, {"champion": 2})
    assert client.get("/v1/models").json()["data"] == [read]


def test_weights_are_downloaded_as_they_were_stored(client: TestClient, trained: Trained, version: int) -> None:
    answer = client.get("/v1/models/penguins/versions/1/weights")
    assert answer.content == trained.weights
    assert answer.headers["x-sha256"] == hashlib.sha256(trained.weights).hexdigest()
    assert answer.headers["content-disposition"] == 'attachment; filename="penguins-1.safetensors"'


def test_a_deleted_versions_number_is_not_used_again(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str, versions: list[int]
) -> None:
    assert client.delete("/v1/models/penguins/versions/3").status_code == 204
    assert client.get("/v1/models/penguins/versions/3").status_code == 404
    assert client.get("/v1/models/penguins").json()["latest_version"] == 2
    assert store_version(app, owner, trained, dataset_id) == 4


def test_a_version_with_an_alias_cannot_be_deleted(client: TestClient, versions: list[int]) -> None:
    client.put(ALIAS, json={"version": 2})
    assert_problem(client.delete("/v1/models/penguins/versions/2"), 409, "in-use")
    client.delete(ALIAS)
    assert client.delete("/v1/models/penguins/versions/2").status_code == 204


def test_a_deleted_model_is_gone_with_all_that_it_had(client: TestClient, versions: list[int]) -> None:
    client.put(ALIAS, json={"version": 2})
    assert client.delete("/v1/models/penguins").status_code == 204
    for path in ("", "/versions", "/versions/1", "/aliases/champion"):
        assert client.get(f"/v1/models/penguins{path}").status_code == 404
    assert client.get("/v1/models").json()["data"] == []


def test_an_alias_moves_and_its_etag_with_it(client: TestClient, versions: list[int]) -> None:
    made = client.put(ALIAS, json={"version": 1})
    assert made.headers["etag"] == made.json()["etag"] == '"1"'
    moved = client.put(ALIAS, json={"version": 2}, headers={"if-match": '"1"'})
    assert (moved.status_code, moved.json()["version"], moved.headers["etag"]) == (200, 2, '"2"')
    assert client.get(ALIAS).headers["etag"] == '"2"'


def test_who_read_an_older_alias_may_not_move_it(client: TestClient, versions: list[int]) -> None:
    client.put(ALIAS, json={"version": 1})
    client.put(ALIAS, json={"version": 2})
    answer = client.put(ALIAS, json={"version": 3}, headers={"if-match": '"1"'})
    assert_problem(answer, 412, "precondition-failed")
    assert client.get(ALIAS).json()["version"] == 2


def test_an_alias_that_must_be_new_is_made_once(client: TestClient, versions: list[int]) -> None:
    first = client.put(ALIAS, json={"version": 1}, headers={"if-match": '"0"'})
    second = client.put(ALIAS, json={"version": 2}, headers={"if-match": '"0"'})
    assert (first.status_code, second.status_code) == (200, 412)


def test_of_ten_who_move_an_alias_at_once_one_wins(client: TestClient, versions: list[int]) -> None:
    client.put(ALIAS, json={"version": 1})
    start = threading.Barrier(10)

    def move(number: int) -> int:
        start.wait()
        body = {"version": number % 3 + 1}
        return int(client.put(ALIAS, json=body, headers={"if-match": '"1"'}).status_code)

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(move, range(10)))
    assert sorted(statuses) == [200] + [412] * 9
    assert client.get(ALIAS).headers["etag"] == '"2"'


def test_aliases_and_deletes_at_once_leave_no_alias_without_a_version(client: TestClient, versions: list[int]) -> None:
    start = threading.Barrier(6)

    def act(number: int) -> int:
        start.wait()
        if number % 2:
            return int(client.put(f"/v1/models/penguins/aliases/a{number}", json={"version": 2}).status_code)
        return int(client.delete("/v1/models/penguins/versions/2").status_code)

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(act, range(6)))
    assert set(statuses) <= {200, 204, 404, 409, 422}
    has_version = client.get("/v1/models/penguins/versions/2").status_code == 200
    assert has_version == bool(client.get("/v1/models/penguins").json()["aliases"])


@pytest.mark.parametrize("alias", ["champion", "a", "A.b-c_9", "x" * 64])
def test_an_alias_is_a_plain_name(client: TestClient, version: int, alias: str) -> None:
    assert client.put(f"/v1/models/penguins/aliases/{alias}", json={"version": 1}).status_code == 200
    answer = client.post(f"/v1/models/penguins@{alias}/predict", json={"rows": [ROW]})
    assert answer.json()["model"] == "penguins@1"


@pytest.mark.parametrize("alias", ["1", "1a", "x" * 65, "a b", "ä", "a@b", ".a", "-"])
def test_a_number_or_an_odd_word_is_no_alias(client: TestClient, version: int, alias: str) -> None:
    answer = client.put(f"/v1/models/penguins/aliases/{alias}", json={"version": 1})
    assert_problem(answer, 422, "validation-failed")


@pytest.mark.parametrize(
    "body",
    [{}, {"version": 0}, {"version": "1"}, {"version": 1.0}, {"version": True}, {"version": None}, {"version": 10**10},
     {"version": 1, "x": 1}, {"version": [1]}, [], 1, None],
)  # fmt: skip
def test_an_alias_points_at_a_number(client: TestClient, version: int, body: Any) -> None:
    problem = assert_problem(client.put(ALIAS, json=body), 422, "validation-failed")
    assert problem["errors"]
    assert client.get(ALIAS).status_code == 404


def test_a_version_of_another_model_is_no_target(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str, version: int
) -> None:
    for _ in range(2):
        store_version(app, owner, trained, dataset_id, "other")
    assert_problem(client.put(ALIAS, json={"version": 2}), 422, "validation-failed")


def test_projects_have_their_own_models_of_the_same_name(
    client: TestClient, version: int, stranger: dict[str, str]
) -> None:
    assert client.get("/v1/models", headers=stranger).json()["data"] == []
    assert client.get("/v1/models/penguins/versions/1/weights", headers=stranger).status_code == 404
