"""Gates: a guarded alias moves only to versions that keep every rule, or by force, which is told."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.learning.latency import Latency
from app.learning.runtime import Predictor
from app.principal import Principal
from app.traffic import checking
from app.traffic.gates import Facts, judge
from app.traffic.schemas import MetricRule, NotWorseRule, SlicesRule
from tests.counts import everything
from tests.test_errors import assert_problem
from tests.trained import Trained, store_version

GATES = "/v1/models/penguins/gates"
CHECK = f"{GATES}:check"
ALIAS = "/v1/models/penguins/aliases/champion"
EASY = {"rule": "metric", "metric": "accuracy", "min": 0.5}
HARD = {"rule": "metric", "metric": "log_loss", "max": 0.000001}
FAST = {"rule": "latency", "max_p95_ms": 0.0001}
SLOW = {"rule": "latency", "max_p95_ms": 5000.0}
LEAST = {"rule": "not_worse"}


@pytest.fixture(autouse=True)
def versions(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> list[int]:
    """Three versions of the model penguins."""
    return [store_version(app, owner, trained, dataset_id) for _ in range(3)]


def guard(client: TestClient, *rules: dict[str, Any]) -> None:
    """Guard the alias champion."""
    answer = client.put(GATES, json={"aliases": ["champion"], "rules": list(rules)})
    assert answer.status_code == 200, answer.text


def test_a_version_that_keeps_the_rules_is_promoted(client: TestClient) -> None:
    guard(client, EASY, SLOW)
    assert client.put(ALIAS, json={"version": 2}).json()["version"] == 2


def test_a_version_that_fails_is_refused_with_every_failed_rule_and_by_how_much(client: TestClient) -> None:
    guard(client, EASY, HARD, FAST)
    answer = client.put(ALIAS, json={"version": 1})
    problem = assert_problem(answer, 409, "gate-failed")
    assert answer.headers["x-should-retry"] == "false"
    assert [error["pointer"] for error in problem["errors"]] == ["/rules/1", "/rules/2"]
    assert "log_loss" in problem["errors"][0]["detail"]
    assert "above the maximum of 1e-06" in problem["errors"][0]["detail"]
    assert "ms above the maximum" in problem["errors"][1]["detail"]
    assert client.get(ALIAS).status_code == 404


def test_only_the_named_aliases_are_guarded(client: TestClient) -> None:
    guard(client, HARD)
    assert client.put("/v1/models/penguins/aliases/trial", json={"version": 1}).status_code == 200


def test_every_new_version_of_a_split_must_pass_and_the_present_ones_need_not(client: TestClient) -> None:
    client.put(ALIAS, json={"version": 1})
    guard(client, HARD)
    problem = assert_problem(client.put(ALIAS, json={"split": {"1": 0.9, "2": 0.1}}), 409, "gate-failed")
    assert problem["errors"][0]["detail"].startswith("penguins@2: ")
    assert client.put(ALIAS, json={"version": 1}).status_code == 200


def test_force_passes_the_gates_and_is_recorded(client: TestClient) -> None:
    guard(client, HARD)
    assert client.put(ALIAS, json={"version": 2, "force": True}).status_code == 200
    entries = client.get("/v1/audit?limit=1000").json()["data"]
    assert [e["data"] for e in entries if e["action"] == "alias.point"] == [{"version": 2, "forced": True}]
    assert client.get(f"{ALIAS}/history").json()["data"][0]["forced"] is True


def test_force_where_nothing_is_guarded_is_no_force(client: TestClient) -> None:
    client.put(ALIAS, json={"version": 2, "force": True})
    assert client.get(f"{ALIAS}/history").json()["data"][0]["forced"] is False


def test_a_rollback_passes_the_gates(client: TestClient) -> None:
    client.put(ALIAS, json={"version": 1})
    client.put(ALIAS, json={"version": 2})
    guard(client, HARD)
    assert client.post(f"{ALIAS}/rollback").json()["version"] == 1


def test_a_dry_run_shows_every_rule_with_its_figures_and_moves_nothing(client: TestClient, app: FastAPI) -> None:
    guard(client, EASY, HARD, SLOW, LEAST)
    before = everything(app)
    checked = client.post(CHECK, json={"version": 2, "alias": "champion"}).json()
    assert (checked["model"], checked["against"], checked["guarded"], checked["passed"]) == (
        "penguins@2", None, True, False,
    )  # fmt: skip
    assert [outcome["passed"] for outcome in checked["rules"]] == [True, False, True, True]
    metric, _, latency, least = checked["rules"]
    assert metric["figures"]["bound"] == 0.5
    assert metric["figures"]["value"] > 0.5
    assert 0 < latency["figures"]["p50_ms"] <= latency["figures"]["p95_ms"]
    assert "nothing to compare with" in least["detail"]
    assert everything(app) == before


def test_a_dry_run_for_an_alias_that_is_not_guarded_says_so(client: TestClient) -> None:
    guard(client, EASY)
    assert client.post(CHECK, json={"version": 2, "alias": "trial"}).json()["guarded"] is False


def test_a_comparison_that_is_not_done_is_asked_for_again_and_made_once(client: TestClient) -> None:
    client.put(ALIAS, json={"version": 1})
    guard(client, LEAST)
    for _ in range(2):
        answer = client.put(ALIAS, json={"version": 2}, headers={"prefer": "wait=1"})
        problem = assert_problem(answer, 503, "gate-pending")
        assert answer.headers["retry-after"] == "2"
    queued = client.get("/v1/jobs?status=queued").json()["data"]
    assert [job["kind"] for job in queued] == ["evaluate"]
    assert queued[0]["id"] in problem["detail"]
    assert client.get(ALIAS).json()["version"] == 1


def test_who_read_an_older_alias_is_refused_before_anything_is_measured(client: TestClient) -> None:
    client.put(ALIAS, json={"version": 1})
    guard(client, LEAST)
    answer = client.put(ALIAS, json={"version": 2}, headers={"if-match": '"0"'})
    assert_problem(answer, 412, "precondition-failed")
    assert client.get("/v1/jobs?status=queued").json()["data"] == []


def test_an_alias_that_moved_while_its_gate_was_asked_stays_where_it_was_moved(client: TestClient) -> None:
    client.put(ALIAS, json={"version": 1})
    guard(client, SLOW)
    done = threading.Event()
    statuses: list[int] = []

    def keep_moving() -> None:
        while not done.is_set():
            client.put(ALIAS, json={"version": 3, "force": True})

    mover = threading.Thread(target=keep_moving)
    mover.start()
    try:
        statuses.append(client.put(ALIAS, json={"version": 2}).status_code)
    finally:
        done.set()
        mover.join()
    assert statuses == [412]
    assert client.get(ALIAS).json()["version"] == 3


def test_no_transaction_is_open_while_a_model_is_measured(
    client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard(client, SLOW)
    open_then: list[int] = []
    real = checking.measure_one_row

    def measure(predictor: Predictor) -> Latency:
        open_then.append(app.state.engine.pool.checkedout())
        return real(predictor)

    monkeypatch.setattr(checking, "measure_one_row", measure)
    assert client.put(ALIAS, json={"version": 1}).status_code == 200
    assert open_then == [0]


def test_gates_are_read_replaced_and_removed(client: TestClient) -> None:
    assert_problem(client.get(GATES), 404, "not-found")
    assert_problem(client.post(CHECK, json={"version": 1, "alias": "champion"}), 404, "not-found")
    guard(client, HARD)
    guard(client, EASY)
    read = client.get(GATES).json()
    assert (read["aliases"], [rule["metric"] for rule in read["rules"]]) == (["champion"], ["accuracy"])
    assert client.delete(GATES).status_code == 204
    assert_problem(client.delete(GATES), 404, "not-found")
    assert client.put(ALIAS, json={"version": 1}).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/aliases"),
        ({"aliases": [], "rules": [EASY]}, "/aliases"),
        ({"aliases": ["1a"], "rules": [EASY]}, "/aliases/0"),
        ({"aliases": ["a"], "rules": []}, "/rules"),
        ({"aliases": ["a"], "rules": [{"rule": "best"}]}, "/rules/0"),
        ({"aliases": ["a"], "rules": [EASY | {"metric": "beauty"}]}, "/rules/0/metric/metric"),
        ({"aliases": ["a"], "rules": [EASY | {"max": 1.0}]}, "/rules/0/metric"),
        ({"aliases": ["a"], "rules": [HARD | {"max": None}]}, "/rules/0/metric"),
        ({"aliases": ["a"], "rules": [{"rule": "metric", "metric": "rmse", "min": 1.0}]}, "/rules/0/metric"),
        ({"aliases": ["a"], "rules": [FAST | {"max_p95_ms": 0}]}, "/rules/0/latency/max_p95_ms"),
        ({"aliases": ["a"], "rules": [LEAST | {"margin": -1}]}, "/rules/0/not_worse/margin"),
        ({"aliases": ["a"], "rules": [EASY] * 21}, "/rules"),
    ],
)
def test_odd_gates_are_refused_with_a_pointer(client: TestClient, body: Any, pointer: str) -> None:
    problem = assert_problem(client.put(GATES, json=body), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == pointer


def test_gates_of_nothing_are_not_found(client: TestClient) -> None:
    for call in (
        client.put("/v1/models/nothing/gates", json={"aliases": ["a"], "rules": [EASY]}),
        client.get("/v1/models/nothing/gates"),
        client.post("/v1/models/nothing/gates:check", json={"version": 1, "alias": "a"}),
    ):
        assert_problem(call, 404, "not-found")
    guard(client, EASY)
    problem = assert_problem(client.post(CHECK, json={"version": 9, "alias": "a"}), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == "/version"


def document(**more: Any) -> dict[str, Any]:
    """An evaluation with one slice."""
    part = {"column": "island", "label": "Dream", "metrics": {"accuracy": 0.9, "log_loss": 0.2}}
    return {"part": "test", "num_rows": 50, "metrics": {"accuracy": 0.9}, "intervals": {}, "slices": [part], **more}


def compared(low: float, high: float, metric: str = "log_loss") -> Facts:
    """A version that differs from the one before by an interval."""
    found = {"first": 0.3, "second": 0.2, "difference": (low + high) / 2, "interval": [low, high]}
    told = {"primary_metric": "log_loss", "num_rows": 50, "warnings": [], "job": "job_1"}
    return Facts(document(), "m@1", comparison=told | {"comparison": {"differences": {metric: found}}})


@pytest.mark.parametrize(
    ("low", "high", "margin", "metric", "passed"),
    [
        (0.01, 0.1, None, "log_loss", False),
        (-0.01, 0.1, None, "log_loss", True),
        (-0.1, -0.01, None, "log_loss", True),
        (-0.1, -0.01, None, "accuracy", False),
        (0.01, 0.1, None, "accuracy", True),
        (-0.01, 0.1, 0.05, "log_loss", False),
        (-0.01, 0.04, 0.05, "log_loss", True),
        (0.01, 0.04, 0.05, "log_loss", True),
        (-0.04, 0.1, 0.05, "accuracy", True),
        (-0.06, 0.1, 0.05, "accuracy", False),
    ],
)
def test_worse_is_what_the_interval_of_the_difference_shows(
    low: float, high: float, margin: float | None, metric: Any, passed: bool
) -> None:
    rule = NotWorseRule(rule="not_worse", metric=metric, margin=margin)
    assert judge(rule, compared(low, high, metric)).passed is passed


def test_a_slice_may_drop_by_the_maximum_and_no_more() -> None:
    before = document(slices=[{"column": "island", "label": "Dream", "metrics": {"accuracy": 0.96, "log_loss": 0.15}}])
    facts = Facts(document(), "m@1", against_evaluation=before)
    for metric, drop in (("accuracy", 0.06), ("log_loss", 0.05)):
        for more, passed in ((0.001, True), (-0.001, False)):
            outcome = judge(SlicesRule(rule="slices", metric=metric, max_drop=drop + more), facts)
            assert outcome.passed is passed
            assert outcome.figures["worst"] == "island = Dream"
            assert outcome.figures["drop"] == pytest.approx(drop)


def test_a_rule_that_cannot_be_checked_fails() -> None:
    facts = Facts(document(part="validation"), "m@1", reasons={"not_worse": "Another target."}, latency=None)
    for rule in (
        MetricRule(rule="metric", metric="accuracy", min=0.1),
        NotWorseRule(rule="not_worse"),
        SlicesRule(rule="slices", metric="accuracy", max_drop=1.0),
    ):
        outcome = judge(rule, facts)
        assert not outcome.passed
        assert outcome.detail
    assert judge(NotWorseRule(rule="not_worse"), facts).detail == "Another target."
    assert not judge(MetricRule(rule="metric", metric="rmse", max=1.0), Facts(document())).passed
