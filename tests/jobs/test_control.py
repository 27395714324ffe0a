"""Jobs that are steered, or that reach their limits, on a real server."""

from __future__ import annotations

from tests.jobs.runs import PARAMS, submit, upload, wait, weights
from tests.processes import Server, eventually


def test_pausing_and_resuming_changes_no_bit(steady: Server) -> None:
    dataset = upload(steady)
    job_id = submit(steady, dataset)
    eventually(lambda: steady.job(job_id)["progress"].get("step"), seconds=30)
    assert steady.http.post(f"/v1/jobs/{job_id}/pause").status_code == 200
    paused = eventually(lambda: job if (job := steady.job(job_id))["status"] != "running" else None)
    assert paused["status"] == "paused", steady.story(job_id)
    assert paused["progress"]["step"] < paused["progress"]["num_steps"]
    assert steady.http.post(f"/v1/jobs/{job_id}/resume").json()["status"] == "queued"
    job = wait(steady, job_id)
    assert (job["status"], job["num_faults"]) == ("succeeded", 0)
    assert weights(steady, job) == weights(steady, wait(steady, submit(steady, dataset)))


def test_cancelling_a_running_job_stops_it_and_leaves_no_model(steady: Server) -> None:
    job_id = submit(steady, upload(steady), model="never")
    eventually(lambda: steady.job(job_id)["progress"].get("step"), seconds=30)
    steady.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert wait(steady, job_id)["status"] == "cancelled"
    assert steady.http.get("/v1/models/never").status_code == 404
    eventually(lambda: not steady.launcher().children() or None)


def test_finishing_early_keeps_a_model(steady: Server) -> None:
    job_id = submit(steady, upload(steady), model="early", params=PARAMS | {"epochs": 5000})
    eventually(lambda: steady.job(job_id)["progress"].get("epoch"), seconds=30)
    steady.http.post(f"/v1/jobs/{job_id}/finish").raise_for_status()
    job = wait(steady, job_id)
    assert (job["status"], job["model_version"]) == ("succeeded", "early@1")
    assert job["progress"]["epoch"] < 5000


def test_a_job_stops_at_its_time_limit_and_keeps_a_model(steady: Server) -> None:
    job = wait(steady, submit(steady, upload(steady), params=PARAMS | {"epochs": 50000}, limits={"wall_seconds": 2}))
    assert job["status"] == "succeeded"
    assert job["progress"]["seconds_elapsed"] < 6


def test_a_job_over_its_memory_limit_fails_once_and_says_so(steady: Server) -> None:
    huge = {"hidden": [5000, 5000], "optimizer": "adamw", "epochs": 2}
    job = wait(steady, submit(steady, upload(steady), params=huge, limits={"memory_bytes": 256 << 20}))
    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"]["code"] == "out-of-memory"


def test_a_diverging_job_fails_once_and_names_the_parameter(steady: Server) -> None:
    job = wait(steady, submit(steady, upload(steady), params=PARAMS | {"learning_rate": 100.0, "momentum": 0.0}))
    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"]["code"] == "diverged"
    assert job["error"]["pointer"] == "/params/learning_rate"


def test_a_failed_job_can_be_retried_as_a_new_one(steady: Server) -> None:
    dataset = upload(steady)
    failed = wait(steady, submit(steady, dataset, params=PARAMS | {"learning_rate": 100.0, "momentum": 0.0}))
    answer = steady.http.post(f"/v1/jobs/{failed['id']}/retry")
    assert (answer.status_code, answer.json()["retry_of"]) == (201, failed["id"])
    assert wait(steady, answer.json()["id"])["status"] == "failed"
    assert steady.http.post(f"/v1/jobs/{submit(steady, dataset)}/retry").status_code == 409
