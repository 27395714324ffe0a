"""`maas studies` against a real server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import PENGUINS
from tests.processes import Server
from tests.test_cli import maas, printed

SPACE = json.dumps({"learning_rate": {"type": "float", "low": 0.001, "high": 0.05, "log": True}})


def test_a_study_is_created_watched_and_looked_at(steady: Server, tmp_path: Path) -> None:
    maas("datasets", "upload", PENGUINS, "--name", "looked-at", server=steady)
    (tmp_path / "space.json").write_text(SPACE)
    asked = ["--space", f"@{tmp_path / 'space.json'}", "--params", "epochs=4", "--trials", 2, "--sampler", "random"]
    done = maas("studies", "create", "looked-at", "--target", "species", *asked, "--watch", server=steady)
    assert done.exit_code == 0, done.stderr
    assert "Trial 1 completed" in done.stderr
    assert "looked-at@1 is ready" in done.stdout
    study = printed("studies", "list", "--status", "succeeded", "--limit", 1, server=steady)[0]
    assert study["model_version"] == "looked-at@1"
    shown = maas("studies", "show", study["id"], server=steady).stdout
    assert "log_loss" in shown
    trials = printed("studies", "trials", study["id"], "--state", "completed", server=steady)
    assert [trial["number"] for trial in trials] == [0, 1]
    assert len(printed("studies", "trial", study["id"], 1, server=steady)["intermediate_values"]) == 4


def test_an_external_study_is_asked_and_told(steady: Server) -> None:
    done = maas("studies", "create", "--external", "--space", SPACE, "--trials", 2, server=steady)
    assert "maas studies ask study_" in done.stdout
    study_id = printed("studies", "list", "--limit", 1, server=steady)[0]["id"]
    assert printed("studies", "ask", study_id, server=steady)["trial"] == 0
    assert printed("studies", "report", study_id, 0, "--step", 1, "--value", 0.5, server=steady)["prune"] is False
    assert printed("studies", "tell", study_id, 0, "--value", 0.25, server=steady)["state"] == "completed"
    assert printed("studies", "pause", study_id, server=steady)["status"] == "paused"
    assert maas("studies", "ask", study_id, server=steady).exit_code == 1
    assert printed("studies", "resume", study_id, server=steady)["status"] == "running"
    assert printed("studies", "finish", study_id, server=steady)["best"]["value"] == 0.25


def test_a_cancelled_study_under_watch_is_a_failure(steady: Server) -> None:
    maas("studies", "create", "--external", "--space", SPACE, server=steady)
    study_id = printed("studies", "list", "--limit", 1, server=steady)[0]["id"]
    maas("studies", "cancel", study_id, server=steady)
    watched = maas("studies", "watch", study_id, server=steady)
    assert watched.exit_code == 1
    assert "cancelled" in watched.stderr
