"""What a study does with its trials: how many at a time, what becomes of them, and what the owner may ask."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta

import pytest

from app.studies.steward import Steward
from tests.counts import everything
from tests.studies.playing import SPACE, Stage


@pytest.mark.parametrize(("parallel", "slots", "expected"), [(1, 4, 1), (4, 2, 2), (None, 3, 3), (9, 1, 1)])
def test_as_many_trials_run_as_asked_for_and_as_a_worker_has_slots(
    stage: Stage, parallel: int | None, slots: int, expected: int
) -> None:
    stage.app.state.settings = stage.settings.model_copy(update={"worker_slots": slots})
    study_id = stage.create(**({} if parallel is None else {"parallel": parallel}))
    stage.look()
    assert [job["status"] for job in stage.jobs(study_id)] == ["queued"] * expected
    assert stage.study(study_id)["trials"]["running"] == expected


def test_a_look_at_a_study_in_which_nothing_happened_changes_nothing(stage: Stage) -> None:
    study_id = stage.create()
    stage.look()
    before, etag = everything(stage.app), stage.client.get(f"/v1/studies/{study_id}").headers["etag"]
    Steward(stage.settings, stage.sessions, stage.sessions).look()
    assert everything(stage.app) == before
    unchanged = stage.client.get(f"/v1/studies/{study_id}", headers={"if-none-match": etag})
    assert unchanged.status_code == 304


def test_trials_share_everything_but_their_parameters(stage: Stage) -> None:
    study_id = stage.create(params={"epochs": 7}, seed=5, split={"validation": 0.2}, priority=3, model="best")
    stage.look()
    first, second = stage.jobs(study_id)
    for name in ("dataset", "target", "split", "seed", "priority", "preparation", "model", "limits"):
        assert first[name] == second[name]
    assert (first["params"]["epochs"], first["seed"], first["priority"], first["model"]) == (7, 5, 3, "best")
    assert first["params"]["learning_rate"] != second["params"]["learning_rate"]
    assert [(job["study"], job["trial"]) for job in (first, second)] == [(study_id, 0), (study_id, 1)]
    tried = stage.trials(study_id)
    assert [trial["job"] for trial in tried] == [first["id"], second["id"]]
    assert all(tried[0]["params"][name] == first["params"][name] for name in SPACE)


def test_the_best_trial_and_no_other_becomes_a_version_of_its_very_bytes(stage: Stage) -> None:
    study_id = stage.create(num_trials=4, parallel=1, model="winner")
    stage.run(0.5)
    stage.look()
    best = stage.succeed(stage.claim(), 0.2)
    stage.run(0.3, 0.2)
    study = stage.study(study_id)
    assert (study["status"], study["model_version"], study["best"]["trial"]) == ("succeeded", "winner@1", 1)
    assert study["best"]["value"] == 0.2
    versions = stage.client.get("/v1/models/winner/versions").json()["data"]
    assert [version["version"] for version in versions] == [1]
    version = stage.client.get("/v1/models/winner/versions/1").json()
    assert version["digests"]["weights"] == best
    assert version["lineage"]["study"] == study_id
    assert stage.client.get(f"/v1/jobs/{version['lineage']['job']}").json()["model_version"] == "winner@1"
    assert [job["model_version"] for job in stage.jobs(study_id)] == [None, "winner@1", None, None]


def test_the_direction_follows_the_metric(stage: Stage) -> None:
    study_id = stage.create(num_trials=2, parallel=1, metric="accuracy")
    for value in (0.9, 0.95):
        stage.look()
        stage.succeed(stage.claim(), value, metric="accuracy")
    stage.look()
    study = stage.study(study_id)
    assert (study["direction"], study["best"]["value"]) == ("maximize", 0.95)


def test_a_trial_whose_job_fails_or_is_cancelled_has_failed_and_the_study_goes_on(stage: Stage) -> None:
    study_id = stage.create(num_trials=3, parallel=1)
    stage.look()
    stage.client.post(f"/v1/jobs/{stage.jobs(study_id)[0]['id']}/cancel")
    stage.look()
    stage.succeed(stage.claim(), 0.5, metric="something_else")
    stage.run(0.4)
    assert [trial["state"] for trial in stage.trials(study_id)] == ["failed", "failed", "completed"]
    assert [(trial["error"] or {}).get("code") for trial in stage.trials(study_id)] == ["cancelled", "no-value", None]
    assert stage.study(study_id)["status"] == "succeeded"


def test_a_study_without_a_completed_trial_has_failed(stage: Stage) -> None:
    study_id = stage.create(num_trials=1)
    stage.look()
    stage.client.post(f"/v1/jobs/{stage.jobs(study_id)[0]['id']}/cancel")
    stage.look()
    study = stage.study(study_id)
    assert (study["status"], study["error"]["code"], study["best"]) == ("failed", "no-trial-completed", None)


def test_a_combination_that_the_spec_refuses_fails_without_a_job(stage: Stage) -> None:
    # One choice fits beside the first choices of the others, two of them together do not.
    wide = {"type": "categorical", "choices": [[8], [5000, 1000]]}
    stage.app.state.settings = stage.settings.model_copy(update={"max_parameters": 6_000_000})
    study_id = stage.create(space={"hidden": wide, "learning_rate": SPACE["learning_rate"]}, num_trials=6, parallel=1)
    stage.steward = Steward(
        stage.settings.model_copy(update={"max_parameters": 1_000_000}), stage.sessions, stage.app.state.read_sessions
    )
    for _ in range(6):
        stage.look()
        if stage.study(study_id)["status"] == "running":
            stage.succeed(stage.claim(), 0.5)
    tried = stage.trials(study_id)
    assert {trial["state"] for trial in tried} == {"completed", "failed"}
    for trial in tried:
        refused = trial["params"]["hidden"] == [5000, 1000]
        assert (trial["job"] is None, trial["state"] == "failed") == (refused, refused)
        assert not refused or trial["error"]["code"] == "limits-exceeded"


def test_pause_stops_the_trials_and_the_clock_and_resume_goes_on(stage: Stage) -> None:
    study_id = stage.create(parallel=2, limits={"wall_seconds": 100})
    stage.look()
    running = stage.claim()
    assert stage.act(study_id, "pause")["status"] == "paused"
    assert [job["status"] for job in stage.jobs(study_id)] == ["running", "paused"]
    assert stage.train(running, 0.5) == "pause"
    stage.stop(running, "paused")
    stage.look()
    assert [job["status"] for job in stage.jobs(study_id)] == ["paused", "paused"]
    ends_at = stage.shift(study_id, paused_at=timedelta(seconds=-1000))
    stage.act(study_id, "pause", 409)
    assert stage.act(study_id, "resume")["status"] == "running"
    assert [job["status"] for job in stage.jobs(study_id)] == ["queued", "queued"]
    assert stage.shift(study_id) - ends_at > timedelta(seconds=999)
    stage.act(study_id, "resume", 409)


def test_a_trial_that_pauses_after_its_study_went_on_is_resumed(stage: Stage) -> None:
    study_id = stage.create(parallel=1)
    stage.look()
    lease = stage.claim()
    stage.act(study_id, "pause")
    stage.act(study_id, "resume")
    stage.stop(lease, "paused")
    stage.look()
    assert [job["status"] for job in stage.jobs(study_id)] == ["queued"]


def test_finish_keeps_the_best_of_running_trials_and_drops_waiting_ones(stage: Stage) -> None:
    study_id = stage.create(parallel=2, num_trials=10)
    stage.look()
    lease = stage.claim()
    assert stage.act(study_id, "finish")["control"] == "finish"
    assert stage.train(lease, 0.5) == "finish"
    assert [job["status"] for job in stage.jobs(study_id)] == ["running", "cancelled"]
    stage.act(study_id, "pause", 409)
    stage.succeed(lease, 0.5)
    stage.look()
    study = stage.study(study_id)
    assert (study["status"], study["control"], study["model_version"]) == ("succeeded", None, "penguins@1")
    assert [trial["state"] for trial in stage.trials(study_id)] == ["completed", "failed"]


def test_cancel_stops_all_trials_and_makes_no_version(stage: Stage) -> None:
    study_id = stage.create(parallel=2)
    stage.run(0.5)
    stage.look()
    lease = stage.claim()
    assert stage.act(study_id, "cancel")["status"] == "running"
    stage.act(study_id, "finish", 409)
    assert stage.train(lease) == "cancel"
    stage.stop(lease, "cancelled")
    stage.look()
    study = stage.study(study_id)
    assert (study["status"], study["model_version"], study["trials"]["running"]) == ("cancelled", None, 0)
    assert stage.client.get("/v1/models").json()["data"] == []
    for action in ("cancel", "finish", "pause", "resume"):
        stage.act(study_id, action, 409)


def test_a_study_without_running_trials_is_cancelled_at_once(stage: Stage) -> None:
    assert stage.act(stage.create(), "cancel")["status"] == "cancelled"


def test_the_time_limit_ends_a_study_with_its_best(stage: Stage) -> None:
    study_id = stage.create(parallel=1, limits={"wall_seconds": 1000})
    stage.run(0.5)
    lease = stage.claim()
    stage.shift(study_id, ends_at=timedelta(seconds=-2000))
    stage.look()
    assert stage.train(lease) == "finish"
    stage.succeed(lease, 0.7)
    stage.look()
    study = stage.study(study_id)
    assert (study["status"], study["best"]["trial"], study["trials"]["completed"]) == ("succeeded", 0, 2)
    assert "The time limit was reached." in stage.messages(study_id)


def test_a_trial_of_a_study_is_not_paused_by_itself(stage: Stage) -> None:
    study_id = stage.create()
    stage.look()
    job_id = stage.jobs(study_id)[0]["id"]
    refused = stage.client.post(f"/v1/jobs/{job_id}/pause")
    assert refused.status_code == 409
    assert study_id in refused.json()["detail"]


def test_a_full_queue_makes_a_study_wait_and_no_longer(stage: Stage) -> None:
    other = stage.client.post("/v1/jobs", json={"dataset": stage.dataset_id, "target": "species"}).json()["id"]
    study_id = stage.create(parallel=1)
    full = stage.settings.model_copy(update={"max_queued_jobs": 1})
    stage.steward = Steward(full, stage.sessions, stage.app.state.read_sessions)
    stage.look()
    assert (stage.study(study_id)["status"], stage.trials(study_id)) == ("running", [])
    stage.client.post(f"/v1/jobs/{other}/cancel")
    stage.look()
    assert len(stage.jobs(study_id)) == 1


def test_stewards_that_look_at_once_begin_each_trial_once(stage: Stage) -> None:
    study_id = stage.create(parallel=2, num_trials=6)
    stewards = [Steward(stage.settings, stage.sessions, stage.app.state.read_sessions) for _ in range(4)]
    for _ in range(3):
        threads = [threading.Thread(target=steward.look) for steward in stewards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        jobs = [job["trial"] for job in stage.jobs(study_id)]
        assert jobs == list(range(len(jobs)))
        assert stage.study(study_id)["trials"]["running"] == 2
        for _ in range(2):
            stage.succeed(stage.claim(), 0.5)
    stage.look()
    events = stage.client.get(f"/v1/studies/{study_id}/events?limit=1000").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert stage.study(study_id)["status"] == "succeeded"


def test_a_worker_without_optuna_pauses_a_study_that_needs_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = stage.create(sampler="tpe", parallel=1, num_trials=12)
    stage.run(*[0.5] * 9)
    stage.look()
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "app.learning.tuning.tpe", raising=False)
    monkeypatch.delattr("app.learning.tuning.tpe", raising=False)
    stage.run(0.5)
    assert stage.study(study_id)["status"] == "paused"
    assert "maas[tune]" in stage.messages(study_id)[-1]
    monkeypatch.undo()
    stage.act(study_id, "resume")
    stage.run(0.5)
    assert stage.study(study_id)["trials"]["completed"] == 11
