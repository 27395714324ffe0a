"""Killed processes: whatever dies in mid-training, the job succeeds, with the weights of an undisturbed run."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from tests.jobs.runs import SOON, losses, submit, upload, wait, wait_for_checkpoint, weights
from tests.processes import Server, eventually, kill


def kill_child(server: Server) -> None:
    kill(server.child())


def kill_launcher(server: Server) -> None:
    kill(server.launcher())


def kill_worker(server: Server) -> None:
    kill(server.worker())


def kill_everything(server: Server) -> None:
    tree = server.processes()
    server.kill()
    psutil.wait_procs(tree, timeout=30)
    server.start()


def kill_only_the_api(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("disturb", [kill_child, kill_launcher, kill_worker, kill_only_the_api])
def test_a_killed_process_costs_no_job_and_changes_no_bit(
    serve: Callable[..., Server], disturb: Callable[[Server], None]
) -> None:
    server = serve(**SOON)
    dataset = upload(server)
    disturbed = submit(server, dataset)
    wait_for_checkpoint(server, disturbed)
    disturb(server)
    job = wait(server, disturbed)
    assert job["status"] == "succeeded", server.story(disturbed)
    assert job["attempt"] >= 2
    undisturbed = wait(server, submit(server, dataset))
    assert undisturbed["attempt"] == 1
    assert weights(server, job) == weights(server, undisturbed)
    assert losses(server, disturbed) == losses(server, undisturbed["id"])
    events = server.http.get(f"/v1/jobs/{disturbed}/events?limit=1000").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_a_stopped_worker_loses_its_job_and_writes_nothing_when_it_wakes(serve: Callable[..., Server]) -> None:
    server = serve(**SOON)
    dataset = upload(server)
    job_id = submit(server, dataset)
    wait_for_checkpoint(server, job_id)
    sleeper = server.worker()
    sleeping = [sleeper, *sleeper.children(recursive=True)]
    for process in sleeping:
        process.suspend()
    other = server.start_worker()
    eventually(lambda: server.job(job_id)["attempt"] == 2 or None, seconds=30)
    for process in sleeping:
        process.resume()
    job = wait(server, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    versions = server.http.get("/v1/models/waves/versions").json()["data"]
    assert len(versions) == 1
    other.terminate()
    other.wait()


def test_an_orderly_restart_goes_on_where_it_stopped(serve: Callable[..., Server]) -> None:
    server = serve(**SOON)
    job_id = submit(server, upload(server))
    eventually(lambda: server.job(job_id)["progress"].get("step"), seconds=30)
    server.end()
    server.start()
    job = wait(server, job_id)
    assert (job["status"], job["num_faults"], job["attempt"]) == ("succeeded", 0, 2)
