"""Every row of the table of bad inputs of trainings: the stated answer, and the server goes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.jobs.bad_trainings import BAD_TRAININGS, QUICK, Bad, good, ids, table, waves, words
from tests.jobs.runs import wait
from tests.processes import Server
from tests.test_errors import INSIDE, assert_problem

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bad-input.md"
ROW = re.compile(
    r"^\| `([a-z-]+)` \| [^|]+ \| (\d{3}|failed|succeeded)(?: `([a-z-]+)`)? \| (?:`([^|`]+)`)? ?\| ([^|]*) ?\|$", re.M
)
DIVERGING = [name for name in BAD_TRAININGS if name.startswith("diverging")]


class Stated(NamedTuple):
    """One row of the table: what it promises."""

    answer: str
    code: str
    pointer: str
    said: str


def stated() -> dict[str, Stated]:
    """The rows of the table by their names."""
    found = ROW.findall(PAGE.read_text())
    return {name: Stated(answer, code, pointer, said.strip()) for name, answer, code, pointer, said in found}


def upload(server: Server, name: str, bad: Bad) -> str:
    """The id of the table as a data set."""
    options = {"name": name} | ({"types": bad.types} if bad.types else {})
    sent = {"content": bad.make().encode(), "headers": {"content-type": "text/csv"}}
    answer = server.http.post("/v1/datasets", params=options, **sent)
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["id"]
    return dataset_id


def send(server: Server, name: str, bad: Bad, **change: Any) -> Any:
    """The answer to the request that trains on it."""
    body = {"dataset": upload(server, name, bad), "target": "y", "params": QUICK, **bad.request, **change}
    return server.http.post("/v1/jobs", json=body)


def told(server: Server, job: dict[str, Any]) -> str:
    """What the job's events say."""
    events = server.http.get(f"/v1/jobs/{job['id']}/events?limit=1000").json()["data"]
    return "\n".join(event["message"] for event in events)


def test_the_table_names_what_is_tested_and_nothing_else() -> None:
    assert list(stated()) == list(BAD_TRAININGS)


@pytest.mark.parametrize("name", BAD_TRAININGS)
def test_a_bad_training_has_its_stated_answer(steady: Server, name: str) -> None:
    promised = stated()[name]
    answer = send(steady, name, BAD_TRAININGS[name])
    if promised.answer.isdecimal():
        problem = assert_problem(answer, int(promised.answer), promised.code)
        assert promised.said in problem["detail"]
        assert [error["pointer"] for error in problem["errors"][:1]] == ([promised.pointer] if promised.pointer else [])
        return
    job = wait(steady, answer.json()["id"])
    assert job["status"] == promised.answer, steady.story(job["id"])
    if promised.answer == "succeeded":
        assert promised.said in told(steady, job)
        return
    error = job["error"]
    assert (error["code"], error["pointer"], job["attempt"]) == (promised.code, promised.pointer, 1)
    assert promised.said in error["message"]
    assert error["next_step"].endswith(".")
    assert not INSIDE.search(f"{error['message']} {error['next_step']}")


@pytest.mark.parametrize("name", DIVERGING)
def test_a_diverged_job_suggests_a_setting_that_trains(steady: Server, name: str) -> None:
    bad = BAD_TRAININGS[name]
    failed = wait(steady, send(steady, name, bad).json()["id"])
    suggested = failed["error"]["details"]["suggested"]["params"]
    calmer = bad.request["params"] | suggested | {"epochs": 20}
    job = wait(steady, send(steady, name, bad, params=calmer).json()["id"])
    assert job["status"] == "succeeded", steady.story(job["id"])
    assert str(suggested["learning_rate"]) in failed["error"]["next_step"]


def test_a_diverged_job_keeps_its_last_good_checkpoint(steady: Server) -> None:
    failed = wait(steady, send(steady, "late", BAD_TRAININGS["diverging-late"]).json()["id"])
    details = failed["error"]["details"]
    kept = steady.http.get(f"/v1/jobs/{failed['id']}/checkpoints").json()["data"]
    assert kept[0]["step"] == details["checkpoint"]["step"] < details["step"]


def test_a_job_out_of_memory_tells_its_peak_and_leaves_others_alone(steady: Server) -> None:
    beside = send(steady, "beside", Bad(good()), params={"hidden": [32], "epochs": 300, "early_stopping": None})
    failed = wait(steady, send(steady, "memory", BAD_TRAININGS["out-of-memory"]).json()["id"])
    details = failed["error"]["details"]
    assert 100 << 20 < details["peak_bytes"] <= details["limit_bytes"] == 256 << 20
    assert details["peak_bytes"] + details["refused_bytes"] > details["limit_bytes"]
    fitting = {"epochs": 3, "hidden": details["suggested"]["params"]["hidden"]}
    assert str(fitting["hidden"]) in failed["error"]["next_step"]
    again = send(steady, "fits", BAD_TRAININGS["out-of-memory"], params=fitting)
    assert wait(steady, again.json()["id"])["status"] == "succeeded", steady.story(again.json()["id"])
    assert wait(steady, beside.json()["id"])["status"] == "succeeded"
    assert steady.http.get("/readyz").status_code == 200


def test_a_data_set_cannot_be_deleted_while_a_job_waits_for_it(steady: Server) -> None:
    dataset_id = upload(steady, "awaited", Bad(lambda: waves(5000)))
    body = {"dataset": dataset_id, "target": "y", "params": {"epochs": 100_000, "early_stopping": None}}
    jobs = [steady.http.post("/v1/jobs", json=body).json()["id"] for _ in range(3)]
    for query in ("", "?cascade=true"):
        assert_problem(steady.http.delete(f"/v1/datasets/{dataset_id}{query}"), 409, "in-use")
    for job_id in jobs:
        steady.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        assert wait(steady, job_id)["status"] == "cancelled"
    assert steady.http.delete(f"/v1/datasets/{dataset_id}?cascade=true").status_code == 204


@pytest.mark.slow
def test_a_million_categories_are_no_target_and_as_a_feature_no_burden(steady: Server) -> None:
    million = 1_000_000
    names = table(c=ids(million), y=words("a", "b", num_rows=million))
    feature = Bad(lambda: names, {"params": QUICK | {"epochs": 1}}, types='{"c": "category"}')
    job = wait(steady, send(steady, "million", feature).json()["id"])
    assert job["status"] == "succeeded", steady.story(job["id"])
    assert_problem(send(steady, "million", feature, target="c"), 422, "validation-failed")
