"""Studies on a real server: they train, prune, stream, fit into one slot, and survive whatever is killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import pytest

from tests.conftest import PENGUINS
from tests.jobs.runs import SOON
from tests.jobs.test_faults import kill_everything, kill_only_the_api, kill_worker
from tests.processes import Server, eventually

# The first is good at once, the second learns nothing.
RATES = {"learning_rate": {"type": "categorical", "choices": [0.02, 1e-9]}}
ONE_SLOT = {**SOON, "MAAS_WORKER_SLOTS": "1"}


def start(server: Server, **more: Any) -> str:
    """A study of the penguins; its id."""
    sent = server.http.post("/v1/datasets?name=p", content=PENGUINS.read_bytes(), headers={"content-type": "text/csv"})
    space = {
        "learning_rate": {"type": "float", "low": 0.001, "high": 0.05, "log": True},
        "hidden": {"type": "categorical", "choices": [[8], [16, 16]]},
    }
    body = {"dataset": sent.json()["id"], "target": "species", "space": space, "params": {"epochs": 8}, **more}
    answer = server.http.post("/v1/studies", json=body)
    assert answer.status_code == 201, answer.text
    study_id: str = answer.json()["id"]
    return study_id


def read(server: Server, study_id: str, rest: str = "") -> Any:
    """What a study or a part of it is now."""
    return server.http.get(f"/v1/studies/{study_id}{rest}").raise_for_status().json()


def wait(server: Server, study_id: str) -> dict[str, Any]:
    """The study when it has ended."""

    def look() -> dict[str, Any] | None:
        try:
            study: dict[str, Any] = read(server, study_id)
        except httpx.TransportError:
            return None
        return study if study["status"] not in ("running", "paused") else None

    return eventually(look, seconds=120)


def results(server: Server, study_id: str) -> list[tuple[Any, ...]]:
    """What every trial tried and came to."""
    data = read(server, study_id, "/trials?limit=100")["data"]
    return [
        (each["number"], each["state"], each["params"], each["value"], each["intermediate_values"]) for each in data
    ]


@pytest.mark.parametrize("disturb", [kill_worker, kill_only_the_api, kill_everything])
def test_a_killed_process_costs_no_trial_and_changes_no_value(
    serve: Callable[..., Server], disturb: Callable[[Server], None]
) -> None:
    server = serve(**ONE_SLOT)
    asked = {"num_trials": 4, "sampler": "random", "params": {"epochs": 60, "early_stopping": None}}
    study_id = start(server, **asked)
    eventually(lambda: read(server, study_id)["trials"]["completed"] >= 1, seconds=60)
    disturb(server)
    study = wait(server, study_id)
    assert (study["status"], study["trials"]["completed"]) == ("succeeded", 4), read(server, study_id, "/trials")
    events = read(server, study_id, "/events?limit=1000")["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len(server.http.get(f"/v1/jobs?study={study_id}").json()["data"]) == 4
    undisturbed = start(server, **asked)
    wait(server, undisturbed)
    assert results(server, study_id) == results(server, undisturbed)
    versions = server.http.get("/v1/models/p/versions").json()["data"]
    assert [version["version"] for version in versions] == [2, 1]
    assert versions[0]["digests"]["weights"] == versions[1]["digests"]["weights"]


def test_with_one_slot_a_study_and_another_job_both_end(serve: Callable[..., Server]) -> None:
    server = serve(**ONE_SLOT)
    study_id = start(server, num_trials=3, sampler="tpe", parallel=8)
    assert read(server, study_id)["parallel"] == 1
    dataset = read(server, study_id)["dataset"]
    job = {"dataset": dataset, "target": "species", "params": {"epochs": 5}, "model": "other"}
    job_id = server.http.post("/v1/jobs", json=job).json()["id"]
    assert wait(server, study_id)["status"] == "succeeded"
    done = server.http.get(f"/v1/jobs/{job_id}", headers={"prefer": "wait=60"}).json()
    assert done["status"] == "succeeded"


def test_the_best_trial_answers_predictions(steady: Server) -> None:
    study_id = start(steady, num_trials=2, sampler="grid", space=RATES, params={"epochs": 30}, model="tuned")
    study = wait(steady, study_id)
    assert (study["model_version"], study["best"]["params"]) == ("tuned@1", {"learning_rate": 0.02})
    row = {"island": "Biscoe", "bill_length_mm": 47.5, "flipper_length_mm": 215}
    answer = steady.http.post("/v1/models/tuned/predict", json={"rows": [row]}).json()
    assert answer["predictions"][0]["label"] == "Gentoo"
    version = steady.http.get("/v1/models/tuned/versions/1").json()
    assert version["metrics"]["validation"]["log_loss"] == study["best"]["value"]


def test_a_hopeless_training_is_stopped_in_its_midst(steady: Server) -> None:
    long = {"epochs": 100_000, "early_stopping": None, "hidden": [64, 64]}
    study_id = start(steady, num_trials=2, sampler="grid", space=RATES, params=long, pruner="asha", parallel=1)
    # One after the other: side by side, a good one that a slow machine holds up would leave every rung to the bad one.
    reported = eventually(
        lambda: [t for t in read(steady, study_id, "/trials")["data"] if t["intermediate_values"]], seconds=60
    )
    steady.http.post(f"/v1/jobs/{reported[0]['job']}/finish").raise_for_status()
    study = wait(steady, study_id)
    good, bad = read(steady, study_id, "/trials")["data"]
    assert (good["params"], good["state"]) == ({"learning_rate": 0.02}, "completed")
    assert (bad["params"], bad["state"]) == ({"learning_rate": 1e-9}, "pruned")
    assert steady.job(bad["job"])["status"] == "cancelled"
    assert (study["status"], study["best"]["params"]) == ("succeeded", {"learning_rate": 0.02})


def test_the_stream_replays_follows_and_ends_with_the_study(steady: Server) -> None:
    study_id = start(steady, num_trials=3, sampler="random")
    headers = {"accept": "text/event-stream"}
    with steady.http.stream("GET", f"/v1/studies/{study_id}/events", headers=headers) as answer:
        lines = list(answer.iter_lines())
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names[0] == "status"
    assert names[-1] == "done"
    assert {"trial", "best", "progress"} <= set(names)
    numbers = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    headers["last-event-id"] = str(numbers[-2])
    rest = steady.http.get(f"/v1/studies/{study_id}/events", headers=headers).text
    assert f"id: {numbers[-1]}" in rest
    assert f"id: {numbers[-2]}\n" not in rest


def test_a_wait_is_answered_by_the_end_of_the_study(steady: Server) -> None:
    study_id = start(steady, num_trials=1, sampler="random")
    answer = steady.http.get(f"/v1/studies/{study_id}", headers={"prefer": "wait=60"})
    assert answer.json()["status"] == "succeeded"
    same = steady.http.get(f"/v1/studies/{study_id}", headers={"if-none-match": answer.headers["etag"]})
    assert same.status_code == 304
