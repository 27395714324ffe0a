"""The commands for models that answer: data sets predicted, versions measured, aliases moved past gates and shadows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.principal import Principal
from tests.processes import Server
from tests.test_cli import maas, printed
from tests.trained import ROW, Trained, store_version

CHAMPION = "penguins@champion"
GATES = {"aliases": ["champion"], "rules": [{"rule": "metric", "metric": "accuracy", "min": 1.01}]}


@pytest.fixture
def server(
    app: FastAPI, owner: Principal, trained: Trained, dataset_id: str, version: int, serve_stored: Callable[..., Server]
) -> Server:
    """A server with two versions of the penguins."""
    assert store_version(app, owner, trained, dataset_id) == version + 1
    return serve_stored()


def test_a_file_is_predicted_and_versions_are_measured_in_jobs(server: Server, tmp_path: Path) -> None:
    (tmp_path / "asked.csv").write_text(f"{','.join(ROW)}\n{','.join(map(str, ROW.values()))}\n")
    options = ("--keep", "island", "--keep", "year", "--labels-only", "--name", "answered", "--watch")
    job = printed("predict-all", "penguins@1", tmp_path / "asked.csv", *options, server=server)
    answered = printed("datasets", "show", job["prediction"]["dataset"], server=server)
    assert [column["name"] for column in answered["columns"]] == ["island", "year", "label"]
    assert (answered["name"], answered["num_rows"]) == ("answered", 1)
    watched = maas("jobs", "watch", job["id"], server=server).stdout
    assert f"{answered['id']} has the answers to 1 rows." in watched
    assert printed("jobs", "rejected", job["id"], server=server) == []
    found = printed("evaluate", "penguins@2", "--against", "penguins@1", "--slice", "sex", "--watch", server=server)
    assert found["comparison"]["model"] == "penguins@1"
    assert {each["column"] for each in found["slices"]} == {"sex"}
    job_id = printed("jobs", "list", "--limit", 1, server=server)[0]["id"]
    assert printed("jobs", "evaluation", job_id, server=server) == found
    shown = maas("jobs", "evaluation", job_id, server=server).stdout
    assert all(each in shown for each in ("Against penguins@1", "Worst slices", "log_loss", "probability better"))
    assert f"maas jobs evaluation {job_id}" in maas("jobs", "watch", job_id, server=server).stdout
    refused = maas("evaluate", "penguins@1", "--part", "best", server=server)
    assert (refused.exit_code, "/part" in refused.stderr) == (1, True)


def test_cards_and_evaluations_of_versions_are_shown_by_any_reference(server: Server) -> None:
    printed("aliases", "move", CHAMPION, 1, server=server)
    card = maas("models", "card", CHAMPION, server=server).stdout
    for shown in ("penguins@1", "baseline (test)", "check rows that come from elsewhere", "open-inference:", "curl "):
        assert shown in card
    for reference, version in ((CHAMPION, 1), ("penguins@2", 2), ("penguins", 2)):
        assert printed("models", "evaluation", reference, server=server)["model"] == f"penguins@{version}"
    missing = maas("models", "evaluation", "penguins@nobody", server=server)
    assert (missing.exit_code, "champion" in missing.stderr) == (1, True)


def test_aliases_are_moved_past_gates_split_rolled_back_and_shadowed(server: Server, tmp_path: Path) -> None:
    first = printed("aliases", "move", CHAMPION, 1, server=server)
    (tmp_path / "gates.json").write_text(json.dumps(GATES))
    assert printed("gates", "set", "penguins", f"@{tmp_path / 'gates.json'}", server=server)["aliases"] == ["champion"]
    assert "1.01" in maas("gates", "show", "penguins", server=server).stdout
    checked = maas("gates", "check", CHAMPION, 2, server=server)
    assert (checked.exit_code, "below the minimum of 1.01" in checked.stdout) == (1, True)
    refused = maas("aliases", "move", CHAMPION, 2, server=server)
    assert (refused.exit_code, "/rules/0" in refused.stderr) == (1, True)
    assert printed("aliases", "move", CHAMPION, 2, "--force", server=server)["version"] == 2
    stale = maas("aliases", "rollback", CHAMPION, "--if-match", first["etag"].strip('"'), server=server)
    assert (stale.exit_code, printed("aliases", "show", CHAMPION, server=server)["version"]) == (1, 2)
    assert printed("aliases", "rollback", CHAMPION, server=server)["version"] == 1
    assert maas("gates", "delete", "penguins", server=server).exit_code == 0
    shares = {"1": 0.75, "2": 0.25}
    assert printed("aliases", "split", CHAMPION, "1=0.75", "2=0.25", server=server)["split"] == shares
    moves = printed("aliases", "history", CHAMPION, server=server)
    assert [(move["action"], move["forced"]) for move in moves] == [
        ("point", False), ("rollback", False), ("point", True), ("point", False),
    ]  # fmt: skip
    assert printed("shadows", "set", CHAMPION, 2, "--share", 0.5, server=server)["share"] == 0.5
    assert "num requests" in maas("shadows", "show", CHAMPION, server=server).stdout
    assert maas("shadows", "delete", CHAMPION, server=server).exit_code == 0
    assert maas("shadows", "show", CHAMPION, server=server).exit_code == 1
    assert maas("aliases", "delete", CHAMPION, server=server).exit_code == 0
    assert maas("aliases", "show", CHAMPION, server=server).exit_code == 1


@pytest.mark.parametrize("alias", ["penguins", "penguins@", "@champion", "penguins@3"])
def test_what_names_no_alias_is_wrong_usage(alias: str) -> None:
    assert maas("aliases", "show", alias, "--key", "k").exit_code == 2
