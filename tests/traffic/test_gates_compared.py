"""The gate that compares: a real worker measures both versions on the same rows before the alias moves."""

from __future__ import annotations

import pytest

from tests.learning.datasets import REPOSITORY
from tests.processes import Server
from tests.test_errors import assert_problem

NAME = "guarded"
ALIAS = f"/v1/models/{NAME}/aliases/champion"


@pytest.fixture(scope="module")
def guarded(steady: Server) -> str:
    """A good version, a bad one and another good one; champion points at the first and is guarded."""
    content = (REPOSITORY / "examples" / "penguins.csv").read_bytes()
    sent = steady.http.post(f"/v1/datasets?name={NAME}", content=content, headers={"content-type": "text/csv"})
    for epochs, rate in ((40, 0.02), (1, 0.00001), (40, 0.03)):
        body = {"dataset": sent.json()["id"], "target": "species", "model": NAME, "spec": "dense"}
        body |= {"params": {"hidden": [8], "epochs": epochs, "learning_rate": rate}}
        job = steady.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90).json()
        assert job["status"] == "succeeded", job
    assert steady.http.put(ALIAS, json={"version": 1}).status_code == 200
    rules = [{"rule": "not_worse"}, {"rule": "slices", "metric": "accuracy", "max_drop": 0.5}]
    gates = {"aliases": ["champion"], "rules": rules}
    assert steady.http.put(f"/v1/models/{NAME}/gates", json=gates).status_code == 200
    return NAME


def test_a_version_that_is_shown_to_be_worse_on_the_same_rows_is_refused(steady: Server, guarded: str) -> None:
    champion = steady.http.get(ALIAS).json()["version"]
    answer = steady.http.put(ALIAS, json={"version": 2}, headers={"prefer": "wait=60"}, timeout=90)
    problem = assert_problem(answer, 409, "gate-failed")
    assert f"of {guarded}@{champion} on the same 52 rows: worse by" in problem["errors"][0]["detail"]
    assert steady.http.get(ALIAS).json()["version"] == champion


def test_a_version_that_is_not_shown_to_be_worse_is_promoted_and_its_comparison_is_a_job_to_look_at(
    steady: Server, guarded: str
) -> None:
    body = {"version": 3, "alias": "champion"}
    url = f"/v1/models/{guarded}/gates:check"
    checked = steady.http.post(url, json=body, headers={"prefer": "wait=60"}, timeout=90).json()
    assert (checked["passed"], checked["against"]) == (True, f"{guarded}@1"), checked
    figures = checked["rules"][0]["figures"]
    found = steady.http.get(f"/v1/jobs/{figures['job']}/evaluation").json()
    assert found["comparison"]["differences"]["log_loss"]["interval"] == figures["interval"]
    again = steady.http.post(url, json=body, timeout=90).json()
    assert again["rules"][0]["figures"] == figures, "the same comparison is not made twice"
    moved = steady.http.put(ALIAS, json={"version": 3}, headers={"if-match": '"1"'}, timeout=90)
    assert (moved.status_code, moved.json()["version"]) == (200, 3)
