"""Killed processes: whatever dies in mid-training, the job succeeds, with the weights of an undisturbed run."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest
from sqlalchemy import create_engine, make_url, update
from sqlalchemy.exc import OperationalError

from app.tables import JobRow
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
    for process in tree:
        kill(process)
    psutil.wait_procs(tree, timeout=30)
    server.start()


def kill_only_the_api(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("disturb", [kill_child, kill_launcher, kill_worker, kill_only_the_api, kill_everything])
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


def put_to_sleep(server: Server, job_id: str) -> list[psutil.Process]:
    """Stop the worker and its children outside of a transaction: one that sleeps in it holds everybody up."""
    worker = server.worker()
    sleeping = [worker, *worker.children(recursive=True)]
    while True:
        for process in sleeping:
            process.suspend()
        if can_write(server, job_id):
            return sleeping
        for process in sleeping:
            process.resume()
        time.sleep(0.05)


def can_write(server: Server, job_id: str) -> bool:
    """Whether the job's row is free to be changed."""
    url = make_url(server.environment.get("MAAS_DATABASE_URL") or f"sqlite:///{server.folder / 'maas.db'}")
    options = {"timeout": 0.5} if url.get_backend_name() == "sqlite" else {"options": "-c lock_timeout=500"}
    engine = create_engine(url, connect_args=options)
    try:
        with engine.begin() as connection:
            connection.execute(update(JobRow).where(JobRow.id == job_id).values(priority=JobRow.priority))
    except OperationalError:
        return False
    finally:
        engine.dispose()
    return True


def test_a_stopped_worker_loses_its_job_and_writes_nothing_when_it_wakes(serve: Callable[..., Server]) -> None:
    server = serve(**SOON)
    dataset = upload(server)
    job_id = submit(server, dataset)
    wait_for_checkpoint(server, job_id)
    sleeping = put_to_sleep(server, job_id)
    try:
        other = server.start_worker()
        eventually(lambda: server.job(job_id)["attempt"] == 2 or None, seconds=60)
    finally:
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
