"""Aliases over time: history, rollback, splits, and what becomes of them when versions go."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained, store_version

ALIAS = "/v1/models/penguins/aliases/champion"
PREDICT = "/v1/models/penguins@champion/predict"
SPLIT = {"split": {"1": 0.75, "2": 0.25}}


@pytest.fixture(autouse=True)
def versions(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> list[int]:
    """Three versions of the model penguins."""
    return [store_version(app, owner, trained, dataset_id) for _ in range(3)]


def put(client: TestClient, *targets: int | dict[str, Any]) -> None:
    """Move the alias, one target after the other."""
    for target in targets:
        answer = client.put(ALIAS, json={"version": target} if isinstance(target, int) else target)
        assert answer.status_code == 200, answer.text


def moves(client: TestClient) -> list[tuple[str, int | None]]:
    """What the history says, newest first."""
    return [(move["action"], move["version"]) for move in client.get(f"{ALIAS}/history").json()["data"]]


def test_a_rollback_returns_to_the_version_before_and_the_next_one_further(client: TestClient) -> None:
    put(client, 1, 2, 3)
    assert client.post(f"{ALIAS}/rollback").json()["version"] == 2
    rolled = client.post(f"{ALIAS}/rollback", headers={"if-match": '"4"'})
    assert (rolled.json()["version"], rolled.headers["etag"]) == (1, '"5"')
    assert_problem(client.post(f"{ALIAS}/rollback"), 409, "no-rollback")
    assert client.get(ALIAS).json()["version"] == 1
    assert moves(client) == [("rollback", 1), ("rollback", 2), ("point", 3), ("point", 2), ("point", 1)]


def test_a_move_after_a_rollback_can_be_rolled_back(client: TestClient) -> None:
    put(client, 1, 2)
    client.post(f"{ALIAS}/rollback")
    put(client, 3)
    assert client.post(f"{ALIAS}/rollback").json()["version"] == 1


def test_a_rollback_by_who_read_an_older_alias_changes_nothing(client: TestClient) -> None:
    put(client, 1, 2, 3)
    assert_problem(client.post(f"{ALIAS}/rollback", headers={"if-match": '"2"'}), 412, "precondition-failed")
    assert client.get(ALIAS).json()["version"] == 3


def test_of_ten_rollbacks_at_once_one_wins(client: TestClient) -> None:
    put(client, 1, 2, 3)
    start = threading.Barrier(10)

    def back(_: int) -> int:
        start.wait()
        return int(client.post(f"{ALIAS}/rollback", headers={"if-match": '"3"'}).status_code)

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(back, range(10))) == [200] + [412] * 9
    assert client.get(ALIAS).json()["version"] == 2


def test_a_rollback_passes_over_versions_that_are_gone(client: TestClient) -> None:
    put(client, 1, 2, 3)
    assert client.delete("/v1/models/penguins/versions/2").status_code == 204
    assert client.post(f"{ALIAS}/rollback").json()["version"] == 1


def test_a_rollback_is_told_by_the_audit_trail_and_the_history_says_who(client: TestClient, owner: Principal) -> None:
    put(client, 1, 2)
    client.post(f"{ALIAS}/rollback")
    told = {entry["action"]: entry for entry in client.get("/v1/audit?limit=1000").json()["data"]}
    rolled = told["alias.rollback"]
    assert (rolled["target"], rolled["data"], rolled["key_id"]) == ("penguins@champion", {"version": 1}, owner.key_id)
    assert client.get(f"{ALIAS}/history").json()["data"][0]["key"] == owner.key_id


def test_a_deleted_alias_keeps_its_history_and_its_etags_are_not_used_again(client: TestClient) -> None:
    put(client, 1, 2)
    client.delete(ALIAS)
    assert_problem(client.post(f"{ALIAS}/rollback"), 404, "not-found")
    put(client, 3)
    assert moves(client) == [("point", 3), ("delete", None), ("point", 2), ("point", 1)]
    assert client.get(ALIAS).headers["etag"] == '"4"'
    assert_problem(client.post(f"{ALIAS}/rollback"), 409, "no-rollback")


def test_history_comes_in_pages(client: TestClient) -> None:
    put(client, 1, 2, 3)
    first = client.get(f"{ALIAS}/history?limit=2").json()
    assert ([move["revision"] for move in first["data"]], first["has_more"], first["last_id"]) == ([3, 2], True, "2")
    rest = client.get(f"{ALIAS}/history?limit=2&after=2").json()
    assert ([move["revision"] for move in rest["data"]], rest["has_more"]) == ([1], False)
    assert_problem(client.get("/v1/models/penguins/aliases/nobody/history"), 404, "not-found")


def test_a_split_answers_in_its_shares_and_says_which_version_answered(client: TestClient) -> None:
    put(client, SPLIT)
    assert client.get(ALIAS).json()["split"] == {"1": 0.75, "2": 0.25}
    assert client.get("/v1/models/penguins").json()["aliases"] == {"champion": 1}
    counts = Counter(client.post(PREDICT, json={"rows": [ROW]}).json()["model"] for _ in range(300))
    assert set(counts) == {"penguins@1", "penguins@2"}
    assert abs(counts["penguins@2"] - 75) < 5 * math.sqrt(300 * 0.75 * 0.25)


def test_a_key_sticks_to_its_version(client: TestClient) -> None:
    put(client, SPLIT)

    def version(key: str) -> str:
        return str(client.post(PREDICT, json={"rows": [ROW]}, headers={"x-maas-sticky": key}).json()["model"])

    first = {f"u{number}": version(f"u{number}") for number in range(40)}
    assert set(first.values()) == {"penguins@1", "penguins@2"}
    assert {key: version(key) for key in first} == first


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"split": {"1": 0.5, "2": 0.4}}, "/"),
        ({"split": {"1": 0.5, "2": 0.6}}, "/"),
        ({"split": {}}, "/split"),
        ({"split": {"01": 1.0}}, "/split/01/[key]"),
        ({"split": {"x": 1.0}}, "/split/x/[key]"),
        ({"split": {"1": 0.0, "2": 1.0}}, "/split/1"),
        ({"split": {"1": -0.5, "2": 1.5}}, "/split/1"),
        ({"split": {"1": "0.5", "2": 0.5}}, "/split/1"),
        ({"split": {"1": True}}, "/split/1"),
        ({"split": {"1": None}}, "/split/1"),
        ({"split": [1, 2]}, "/split"),
        ({"split": {str(number): 0.05 for number in range(1, 21)}}, "/split"),
        ({"split": {"1": 0.5, "9": 0.5}}, "/split/9"),
        ({"version": 1, "split": {"1": 1.0}}, "/"),
        ({"version": 1, "force": "yes"}, "/force"),
    ],
)
def test_an_odd_split_is_refused_with_a_pointer(client: TestClient, body: dict[str, Any], pointer: str) -> None:
    problem = assert_problem(client.put(ALIAS, json=body), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == pointer
    assert client.get(ALIAS).status_code == 404


def test_shares_of_a_third_are_shares_of_one(client: TestClient) -> None:
    put(client, {"split": {"1": 0.3333333, "2": 0.3333333, "3": 0.3333333}}, {"split": {"2": 1}})
    assert client.get(ALIAS).json()["split"] is None


def test_a_split_is_rolled_back_to_and_from(client: TestClient) -> None:
    put(client, 1, SPLIT, 2)
    assert client.post(f"{ALIAS}/rollback").json()["split"] == SPLIT["split"]
    rolled = client.post(f"{ALIAS}/rollback").json()
    assert (rolled["version"], rolled["split"]) == (1, None)


def test_every_version_of_a_split_is_in_use(client: TestClient) -> None:
    put(client, {"split": {"1": 0.5, "2": 0.3, "3": 0.2}})
    for version in (1, 2, 3):
        assert_problem(client.delete(f"/v1/models/penguins/versions/{version}"), 409, "in-use")


def test_a_version_that_goes_with_its_data_leaves_splits_and_takes_aliases_of_it_alone(
    client: TestClient, app: FastAPI, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    put(client, SPLIT)
    client.put("/v1/models/penguins/aliases/old", json={"version": 1})
    other = client.post("/v1/datasets?name=x", content=trained.sent, headers={"content-type": "text/csv"}).json()["id"]
    assert store_version(app, owner, trained, other) == 4
    put(client, {"split": {"3": 0.5, "4": 0.5}})
    client.put("/v1/models/penguins/aliases/new", json={"version": 4})
    answer = client.delete(f"/v1/datasets/{other}?cascade=true")
    assert answer.status_code in (200, 204), answer.text
    assert client.get("/v1/models/penguins").json()["aliases"] == {"champion": 3, "old": 1}
    assert moves(client)[0] == ("withdraw", 3)
    assert client.post(f"{ALIAS}/rollback").json()["split"] == SPLIT["split"]


def test_a_key_bound_to_a_model_reads_history_but_moves_nothing(
    client: TestClient, new_key: Callable[..., dict[str, str]]
) -> None:
    put(client, 1, 2)
    header = new_key("read", "predict", model="penguins")
    assert client.get(f"{ALIAS}/history", headers=header).status_code == 200
    assert client.post(f"{ALIAS}/rollback", headers=header).status_code == 403
