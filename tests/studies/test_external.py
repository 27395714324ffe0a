"""External trainers: ask, report, tell; several at once, lost ones, and calls that are repeated."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.column_types import now
from app.tables import TrialRow
from tests.studies.playing import EXTERNAL, Stage


class Trainer:
    """A client with a study of its own."""

    def __init__(self, client: TestClient, app: FastAPI, **more: Any) -> None:
        self.client, self.app = client, app
        self.id: str = client.post("/v1/studies", json=EXTERNAL | more).json()["id"]

    def ask(self, status: int = 201, **headers: str) -> dict[str, Any]:
        """Ask for a trial."""
        answer = self.client.post(f"/v1/studies/{self.id}/ask", headers=headers)
        assert answer.status_code == status, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def send(self, trial: int, call: str, body: Any, status: int = 200) -> dict[str, Any]:
        """Report or tell."""
        answer = self.client.post(f"/v1/studies/{self.id}/trials/{trial}/{call}", json=body)
        assert answer.status_code == status, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def study(self) -> dict[str, Any]:
        """The study now."""
        shown: dict[str, Any] = self.client.get(f"/v1/studies/{self.id}").json()
        return shown

    def trial(self, number: int) -> dict[str, Any]:
        """A trial now."""
        shown: dict[str, Any] = self.client.get(f"/v1/studies/{self.id}/trials/{number}").json()
        return shown

    def lose(self, number: int) -> None:
        """Let the lease of a trial run out."""
        with self.app.state.sessions.begin() as session:
            session.get_one(TrialRow, (self.id, number)).expires_at = now() - timedelta(seconds=1)


@pytest.fixture
def trainer(client: TestClient, app: FastAPI) -> Trainer:
    """A trainer with five trials."""
    return Trainer(client, app, sampler="random")


def test_a_study_is_asked_and_told_to_its_end(client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, direction="maximize", num_trials=3)
    for number, value in enumerate((1, 5.5, -2)):
        asked = trainer.ask()
        assert (asked["trial"], 0 <= asked["params"]["x"] <= 1) == (number, True)
        assert trainer.send(number, "tell", {"value": value})["value"] == value
    study = trainer.study()
    assert (study["status"], study["best"]["trial"], study["best"]["value"]) == ("succeeded", 1, 5.5)
    assert (study["model_version"], study["best"]["job"], study["finished_at"] is None) == (None, None, False)
    assert "succeeded already" in trainer.ask(409)["detail"]


def test_clients_that_ask_at_once_get_different_trials(client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, num_trials=12)
    got: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: got.append(trainer.ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked["trial"] for asked in got) == list(range(8))
    assert len({asked["params"]["x"] for asked in got}) == 8


def test_an_ask_that_is_repeated_under_its_key_gets_its_trial_again(trainer: Trainer) -> None:
    first, again = (trainer.ask(**{"idempotency-key": "a"}) for _ in range(2))
    other = trainer.ask(**{"idempotency-key": "b"})
    assert first == again
    assert (first["trial"], other["trial"]) == (0, 1)


def test_when_all_trials_are_handed_out_there_is_nothing_to_ask_for(trainer: Trainer) -> None:
    for _ in range(5):
        trainer.ask()
    refused = trainer.ask(409)
    assert "5 trials were handed out" in refused["detail"]
    assert trainer.study()["status"] == "running"


def test_no_more_trials_run_at_a_time_than_asked_for(client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, parallel=2)
    trainer.ask()
    trainer.ask()
    assert trainer.ask(503)["error"]["code"] == "overloaded"
    trainer.send(0, "tell", {"state": "failed"})
    trainer.ask()


def test_a_lost_clients_trial_is_given_up_and_makes_room(client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, parallel=1)
    trainer.ask()
    trainer.lose(0)
    assert trainer.ask()["trial"] == 1
    lost = trainer.trial(0)
    assert (lost["state"], lost["error"]["code"]) == ("failed", "lease-expired")
    for call, body in (("tell", {"value": 1}), ("report", {"step": 1, "value": 1})):
        assert "Nothing was heard" in trainer.send(0, call, body, 409)["detail"]


def test_a_worker_gives_lost_trials_up_by_itself(stage: Stage, client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, num_trials=1)
    trainer.ask()
    stage.look()
    assert trainer.trial(0)["state"] == "running"
    trainer.lose(0)
    stage.look()
    assert trainer.trial(0)["state"] == "failed"
    assert trainer.study()["error"]["code"] == "no-trial-completed"


def test_a_report_renews_the_lease(client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, lease_seconds=100)
    before = trainer.ask()["expires_at"]
    trainer.send(0, "report", {"step": 1, "value": 1})
    assert trainer.trial(0)["expires_at"] > before


def test_reports_and_tells_may_be_repeated_but_not_changed(trainer: Trainer) -> None:
    trainer.ask()
    for _ in range(2):
        assert trainer.send(0, "report", {"step": 2, "value": 0.5}) == {"object": "report", "prune": False}
    assert "another value" in trainer.send(0, "report", {"step": 2, "value": 0.6}, 409)["detail"]
    refused = trainer.send(0, "report", {"step": 1, "value": 0.6}, 422)
    assert refused["errors"][0]["pointer"] == "/step"
    told = [trainer.send(0, "tell", {"value": 0.25}) for _ in range(2)]
    assert told[0] == told[1]
    for body in ({"value": 0.26}, {"state": "failed"}):
        assert "has ended as completed" in trainer.send(0, "tell", body, 409)["detail"]
    assert trainer.trial(0)["value"] == 0.25
    trainer.send(0, "report", {"step": 3, "value": 0.1}, 409)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_hopeless_trial_is_told_to_stop_and_has_ended(client: TestClient, app: FastAPI, direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    trainer = Trainer(client, app, direction=direction, pruner="median", num_trials=9)
    for number in range(5):
        trainer.ask()
        assert not trainer.send(number, "report", {"step": 1, "value": sign * number})["prune"]
        trainer.send(number, "tell", {"value": sign * number})
    trainer.ask()
    assert not trainer.send(5, "report", {"step": 1, "value": sign * 1.9})["prune"]
    trainer.ask()
    for _ in range(2):
        assert trainer.send(6, "report", {"step": 1, "value": sign * 2.1})["prune"]
    assert trainer.trial(6)["state"] == "pruned"
    trainer.send(6, "tell", {"state": "pruned"})
    assert "ended as pruned" in trainer.send(6, "tell", {"value": 1}, 409)["detail"]


def test_a_client_may_prune_by_itself(trainer: Trainer) -> None:
    trainer.ask()
    trainer.send(0, "report", {"step": 4, "value": 0.5})
    pruned = trainer.send(0, "tell", {"state": "pruned"})
    assert (pruned["state"], pruned["pruned_step"], pruned["value"]) == ("pruned", 4, None)


BAD_CALLS: list[tuple[str, Any]] = [
    ("tell", {}),
    ("tell", {"value": None}),
    ("tell", {"value": "1"}),
    ("tell", {"value": 1, "state": "failed"}),
    ("tell", {"state": "completed"}),
    ("tell", {"state": "running"}),
    ("tell", {"value": 1e301}),
    ("tell", {"value": True}),
    ("tell", []),
    ("report", {"step": 1}),
    ("report", {"step": -1, "value": 1}),
    ("report", {"step": 1.5, "value": 1}),
    ("report", {"step": 10**10, "value": 1}),
    ("report", {"step": 1, "value": 1, "epoch": 1}),
]


@pytest.mark.parametrize(("call", "body"), BAD_CALLS)
def test_a_bad_call_is_refused_and_the_trial_goes_on(trainer: Trainer, call: str, body: Any) -> None:
    trainer.ask()
    trainer.send(0, call, body, 422)
    assert trainer.trial(0)["state"] == "running"


def test_numbers_that_json_does_not_have_are_refused(trainer: Trainer) -> None:
    trainer.ask()
    path = f"/v1/studies/{trainer.id}/trials/0/tell"
    for text in ('{"value": NaN}', '{"value": Infinity}', '{"value": 1e999}', '{"value": 1, "value": 2}'):
        answer = trainer.client.post(path, content=text, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), text


def test_unknown_trials_are_not_found(trainer: Trainer) -> None:
    assert "'0'" in trainer.send(0, "tell", {"value": 1}, 404)["detail"]
    trainer.send(0, "report", {"step": 1, "value": 1}, 404)
    assert trainer.client.get(f"/v1/studies/{trainer.id}/trials/0").status_code == 404
    assert trainer.client.get(f"/v1/studies/{trainer.id}/trials/x").status_code == 422


def test_a_paused_study_hands_out_nothing_but_hears(trainer: Trainer) -> None:
    trainer.ask()
    trainer.client.post(f"/v1/studies/{trainer.id}/pause")
    assert "paused" in trainer.ask(409)["detail"]
    trainer.send(0, "tell", {"value": 1})
    trainer.client.post(f"/v1/studies/{trainer.id}/resume")
    assert trainer.ask()["trial"] == 1


@pytest.mark.parametrize(("action", "status"), [("finish", "succeeded"), ("cancel", "cancelled")])
def test_an_ended_study_gives_up_what_runs(trainer: Trainer, action: str, status: str) -> None:
    trainer.ask()
    trainer.ask()
    trainer.send(0, "tell", {"value": 1})
    ended = trainer.client.post(f"/v1/studies/{trainer.id}/{action}").json()
    assert (ended["status"], ended["trials"]) == (status, {"running": 0, "completed": 1, "pruned": 0, "failed": 1})
    assert "The study ended first." in trainer.send(1, "tell", {"value": 2}, 409)["detail"]


def test_a_study_of_jobs_is_not_asked_or_told(stage: Stage) -> None:
    study_id = stage.create()
    stage.look()
    for call, body in (("ask", None), ("trials/0/tell", {"value": 1}), ("trials/0/report", {"step": 1, "value": 1})):
        answer = stage.client.post(f"/v1/studies/{study_id}/{call}", json=body)
        assert answer.status_code == 409, answer.text
        assert "trains by itself" in answer.json()["detail"]


def test_tpe_learns_from_what_was_told(client: TestClient, app: FastAPI) -> None:
    trainer = Trainer(client, app, sampler="tpe", num_trials=40)
    tried = []
    for number in range(40):
        x = trainer.ask()["params"]["x"]
        tried.append(abs(x - 0.3))
        trainer.send(number, "tell", {"value": tried[-1]})
    assert sum(tried[30:]) < 0.5 * sum(tried[:10])


def test_of_many_reports_a_list_shows_an_even_choice_with_the_last(trainer: Trainer) -> None:
    trainer.ask()
    for step in range(120):
        trainer.send(0, "report", {"step": step, "value": step / 2})
    listed = trainer.client.get(f"/v1/studies/{trainer.id}/trials").json()["data"][0]["intermediate_values"]
    assert [each["step"] for each in listed] == list(range(2, 120, 3))
    assert len(trainer.trial(0)["intermediate_values"]) == 120


def test_a_study_shows_which_parameters_mattered_once_enough_trials_were_completed(client: TestClient) -> None:
    spaces = {name: {"type": "float", "low": 0, "high": 1} for name in ("idle", "x")}
    asked = {"external": True, "space": spaces, "num_trials": 30, "sampler": "random", "direction": "maximize"}
    path = f"/v1/studies/{client.post('/v1/studies', json=asked).json()['id']}"
    for number in range(20):
        shown = client.get(path)
        assert shown.json()["importances"] is None
        x = client.post(f"{path}/ask").json()["params"]["x"]
        client.post(f"{path}/trials/{number}/tell", json={"value": x})
    shown = client.get(path, headers={"if-none-match": shown.headers["etag"]})
    found = shown.json()["importances"]
    assert list(found) == ["x", "idle"]
    assert found["x"] > 0.6
    assert client.get("/v1/studies").json()["data"][0]["importances"] is None
