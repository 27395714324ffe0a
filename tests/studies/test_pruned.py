"""Trials without hope: judged by what their jobs report, once, and only while it can still save something."""

from __future__ import annotations

import pytest

from app.jobs import queue
from app.jobs.lease import Beat
from tests.studies.playing import Stage


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_hopeless_trial_is_cancelled_and_called_pruned(stage: Stage, pruner: str) -> None:
    study_id = stage.create(pruner=pruner, parallel=1, num_trials=7)
    for _ in range(5):
        stage.look()
        lease = stage.claim()
        stage.train(lease, 0.5, 0.4, 0.3)
        stage.look()
        stage.succeed(lease, 0.3)
    stage.look()
    lease = stage.claim()
    assert stage.train(lease, 0.9, 0.8) is None
    stage.look()
    assert stage.train(lease) == "cancel"
    stage.stop(lease, "cancelled")
    stage.look()
    pruned = stage.trials(study_id)[5]
    assert (pruned["state"], pruned["pruned_step"], pruned["value"]) == ("pruned", 1, None)
    assert [each["value"] for each in pruned["intermediate_values"]] == [0.9, 0.8]
    events = stage.client.get(f"/v1/jobs/{pruned['job']}/events").json()["data"]
    assert any("Pruned at epoch 1" in event["message"] for event in events)
    lease = stage.claim()
    assert stage.train(lease, 0.4, 0.35) is None
    stage.look()
    assert stage.train(lease, 0.3, after=2) is None


def test_epochs_that_are_reported_again_after_a_fault_are_not_judged_again(stage: Stage) -> None:
    study_id = stage.create(pruner="median", parallel=1)
    stage.look()
    lease = stage.claim()
    stage.train(lease, 0.5, 0.4)
    stage.look()
    with stage.sessions.begin() as session:
        queue.beat(session, lease, Beat(rewind_to=10))
    stage.train(lease, 0.4, 0.3, after=1)
    stage.look()
    values = [each["value"] for each in stage.trials(study_id)[0]["intermediate_values"]]
    assert values == [0.5, 0.4, 0.3]


def test_a_trial_that_ended_before_it_could_be_pruned_counts_with_its_value(stage: Stage) -> None:
    study_id = stage.create(pruner="asha", parallel=2, num_trials=2)
    stage.look()
    good, bad = stage.claim(), stage.claim()
    stage.train(good, 0.1)
    stage.look()
    stage.train(bad, 0.9)
    stage.look()
    assert stage.job(bad.job_id).control == "cancel"
    stage.succeed(bad, 0.9)
    stage.succeed(good, 0.1)
    stage.look()
    assert [(t["state"], t["value"], t["pruned_step"]) for t in stage.trials(study_id)] == [
        ("completed", 0.1, None),
        ("completed", 0.9, None),
    ]
