"""What a study leaves: bytes while it may need them, rows until its data go, jobs that can be run again."""

from __future__ import annotations

from sqlalchemy import select

from app import garbage
from app.tables import JobRow
from tests.counts import everything
from tests.studies.playing import Stage


def test_what_the_best_trial_made_is_kept_and_what_others_made_is_let_go(stage: Stage) -> None:
    study_id = stage.create(num_trials=4, parallel=1)
    made = []
    for value in (0.5, 0.3, 0.4):
        stage.look()
        made.append(stage.succeed(stage.claim(), value))
        with stage.sessions.begin() as session:
            assert garbage.is_referenced(session, made[-1])
            assert made[-1] in garbage.referenced(session)
    for _ in range(2):
        stage.look()
        with stage.sessions.begin() as session:
            assert [digest in garbage.referenced(session) for digest in made] == [False, True, False]
        if stage.study(study_id)["status"] == "running":
            stage.client.post(f"/v1/jobs/{stage.jobs(study_id)[-1]['id']}/cancel")
    assert stage.study(study_id)["status"] == "succeeded"
    with stage.sessions.begin() as session:
        assert not session.scalars(select(JobRow.id).where(JobRow.result.is_not(None))).all()
    stage.client.delete(f"/v1/models/{stage.study(study_id)['model']}")
    with stage.sessions.begin() as session:
        assert not garbage.is_referenced(session, made[1])


def test_a_data_set_that_a_study_uses_stays_until_the_study_has_ended(stage: Stage) -> None:
    study_id = stage.create(num_trials=1)
    refused = stage.client.delete(f"/v1/datasets/{stage.dataset_id}?cascade=true")
    assert refused.status_code == 409
    assert study_id in refused.json()["detail"]
    stage.run(0.5)
    listed = stage.client.delete(f"/v1/datasets/{stage.dataset_id}")
    assert f"/studies/{study_id}" in [each["pointer"] for each in listed.json()["errors"]]
    deleted = stage.client.delete(f"/v1/datasets/{stage.dataset_id}?cascade=true")
    assert deleted.status_code < 300
    assert stage.client.get(f"/v1/studies/{study_id}").status_code == 404
    left = everything(stage.app)
    assert [left[name] for name in ("studies", "trials", "trial_reports", "study_events", "jobs")] == [0] * 5


def test_a_trial_that_is_retried_is_a_job_of_its_own(stage: Stage) -> None:
    study_id = stage.create()
    stage.look()
    job_id = stage.jobs(study_id)[0]["id"]
    stage.client.post(f"/v1/jobs/{job_id}/cancel")
    again = stage.client.post(f"/v1/jobs/{job_id}/retry").json()
    assert (again["study"], again["retry_of"]) == (None, job_id)
