"""POST /v1/jobs:validate times a training on a sample: beside everything, leaving nothing, refusing what cannot fit."""

from __future__ import annotations

import ast
import time
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.database import Sessions
from app.jobs import estimates
from app.tables import JobRow
from tests.jobs.bad_trainings import BAD_TRAININGS
from tests.jobs.runs import PARAMS, submit, upload, wait
from tests.jobs.test_bad_trainings import upload as upload_bad
from tests.processes import Server, eventually
from tests.test_errors import assert_problem

SMALL = {"spec": "dense", "params": {"hidden": [32], "epochs": 60, "early_stopping": None}}


def validate(server: Server, dataset: str, **more: Any) -> Any:
    """The answer for a job."""
    return server.http.post("/v1/jobs:validate", json={"dataset": dataset, "target": "y", **more})


def timing(server: Server, dataset: str, **more: Any) -> dict[str, Any]:
    """What it will take; a worker whose launcher is still importing is waited for."""

    def look() -> dict[str, Any] | None:
        answer = validate(server, dataset, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] | None = answer.json()["timing"]
        assert found or "No worker" in answer.json()["reason"], answer.json()["reason"]
        return found

    return eventually(look, seconds=60)


def refused(server: Server, dataset: str, **more: Any) -> dict[str, Any]:
    """What is said to fit, by pointer."""
    timing(server, dataset, **SMALL)
    problem = assert_problem(validate(server, dataset, **more), 422, "limits-exceeded")
    return {error["pointer"]: error["detail"] for error in problem["errors"]}


def said(detail: str) -> Any:
    """The value of 'At most … fits.'."""
    return ast.literal_eval(detail.removeprefix("At most ").removesuffix(" fits."))


def seconds(job: dict[str, Any]) -> float:
    """From the start of a job to its end."""
    started, finished = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def test_a_job_ends_within_the_estimated_interval(steady: Server) -> None:
    dataset = upload(steady)
    estimated = timing(steady, dataset, **SMALL)
    job = wait(steady, submit(steady, dataset, **SMALL))
    assert job["status"] == "succeeded", steady.story(job["id"])
    # Others use this machine, too.
    assert estimated["seconds"]["low"] / 1.5 <= seconds(job) <= estimated["seconds"]["high"] * 1.5
    assert (estimated["epochs"], estimated["steps"]["high"]) == ({"low": 60, "high": 60}, job["progress"]["num_steps"])
    model, _, number = job["model_version"].partition("@")
    card = steady.http.get(f"/v1/models/{model}/versions/{number}/card").json()
    assert estimated["num_parameters"] == card["training"]["num_parameters"]


def test_an_estimate_leaves_nothing_behind(steady: Server) -> None:
    dataset = upload(steady)
    before = [job["id"] for job in steady.http.get("/v1/jobs?limit=1000").json()["data"]]
    timing(steady, dataset, **SMALL)
    assert [job["id"] for job in steady.http.get("/v1/jobs?limit=1000").json()["data"]] == before
    assert steady.http.delete(f"/v1/datasets/{dataset}").status_code == 204


def test_an_estimate_does_not_wait_behind_long_jobs(steady: Server) -> None:
    dataset = upload(steady)
    endless = {"params": PARAMS | {"epochs": 50_000}}
    jobs = [submit(steady, dataset, **endless) for _ in range(3)]
    eventually(lambda: all(steady.job(job_id)["status"] == "running" for job_id in jobs[:2]) or None, seconds=30)
    try:
        assert timing(steady, dataset, **SMALL)["seconds"]["high"] > 0
        assert steady.job(jobs[2])["status"] == "queued"
    finally:
        for job_id in jobs:
            steady.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
            wait(steady, job_id)


def test_a_network_that_does_not_fit_is_refused_with_one_that_does(steady: Server) -> None:
    dataset, limits = upload(steady), {"memory_bytes": 256 << 20}
    found = refused(steady, dataset, spec="dense", params={"hidden": [6000, 6000]}, limits=limits)
    fitting = {"hidden": said(found["/params/hidden"]), "epochs": 2}
    assert all(width > 500 for width in fitting["hidden"])
    assert "bytes are needed" in found["/limits/memory_bytes"]
    assert validate(steady, dataset, spec="dense", params=fitting, limits=limits).status_code == 200
    job = wait(steady, submit(steady, dataset, spec="dense", params=fitting, limits=limits))
    assert job["status"] == "succeeded", steady.story(job["id"])


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(steady: Server) -> None:
    dataset, limits = upload(steady, num_rows=20_000), {"memory_bytes": 512 << 20}
    deep = {"hidden": [1024] * 6, "epochs": 1, "early_stopping": None}
    found = refused(steady, dataset, spec="dense", params=deep | {"batch_size": 14_000}, limits=limits)
    fitting = deep | {"batch_size": said(found["/params/batch_size"])}
    assert 100 < fitting["batch_size"] < 14_000
    job = wait(steady, submit(steady, dataset, spec="dense", params=fitting, limits=limits))
    assert job["status"] == "succeeded", steady.story(job["id"])


def test_a_training_without_the_time_for_its_epochs_is_refused_with_those_that_fit(steady: Server) -> None:
    dataset, limits = upload(steady), {"wall_seconds": 30}
    endless = {"epochs": 100_000, "early_stopping": None}
    found = refused(steady, dataset, spec="dense", params=endless, limits=limits)
    epochs = said(found["/params/epochs"])
    assert epochs > 0
    assert (
        validate(steady, dataset, spec="dense", params=endless | {"epochs": epochs}, limits=limits).status_code == 200
    )


def test_a_training_that_would_fail_is_refused_beforehand(steady: Server) -> None:
    for name in ("one-class-in-the-training-part", "no-feature-left", "split-column-with-gaps"):
        bad = BAD_TRAININGS[name]
        dataset = upload_bad(steady, name, bad)
        timing(steady, upload(steady), **SMALL)
        answer = validate(steady, dataset, **{"spec": "dense", **bad.request})
        assert "would fail" in assert_problem(answer, 422, "validation-failed")["detail"]


@pytest.fixture
def body(dataset_id: str) -> dict[str, Any]:
    return {"dataset": dataset_id, "target": "species"}


def num_estimates(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return session.scalars(select(func.count()).where(JobRow.kind == "estimate")).one()


def test_without_a_worker_the_plan_comes_without_timing(
    client: TestClient, sessions: Sessions, body: dict[str, Any]
) -> None:
    started = time.monotonic()
    answer = client.post("/v1/jobs:validate", json=body).json()
    assert time.monotonic() - started >= estimates.CLAIM_SECONDS
    assert (answer["timing"], answer["plan"]["target"]) == (None, "species")
    assert "No worker" in answer["reason"]
    assert num_estimates(sessions) == 0


def test_nothing_is_timed_when_it_is_not_asked_for(client: TestClient, body: dict[str, Any]) -> None:
    started = time.monotonic()
    answer = client.post("/v1/jobs:validate?timed=false", json=body).json()
    assert (answer["timing"], time.monotonic() - started < estimates.CLAIM_SECONDS) == (None, True)


def test_estimates_nobody_waits_for_are_forgotten(
    client: TestClient, sessions: Sessions, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "_forget", lambda *_: None)
    client.post("/v1/jobs:validate", json=body)
    assert num_estimates(sessions) == 1
    assert client.get("/v1/jobs").json()["data"] == []
    with sessions.begin() as session:
        estimates.forget_old(session)
    assert num_estimates(sessions) == 1
    monkeypatch.setattr(estimates, "ANSWER_SECONDS", 0.0)
    with sessions.begin() as session:
        estimates.forget_old(session)
    assert num_estimates(sessions) == 0
