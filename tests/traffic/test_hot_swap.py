"""Aliases moved and versions added under load on a real server: no request fails, and none gets another version."""

from __future__ import annotations

import time

from tests.learning.datasets import REPOSITORY
from tests.processes import Server
from tests.traffic.load import Load, Move, connect, move, settled

NUM_CLIENTS = 6


def train(server: Server, dataset: str) -> int:
    """Add a version; its number."""
    body = {"dataset": dataset, "target": "species", "model": "swapped", "spec": "linear", "params": {"epochs": 2}}
    job = server.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90).json()
    assert job["status"] == "succeeded", job
    return int(job["model_version"].rpartition("@")[2])


def test_no_request_fails_while_aliases_move_and_versions_come(steady: Server) -> None:
    content = (REPOSITORY / "examples" / "penguins.csv").read_bytes()
    sent = steady.http.post("/v1/datasets?name=swapped", content=content, headers={"content-type": "text/csv"})
    dataset = sent.json()["id"]
    versions = [train(steady, dataset), train(steady, dataset)]
    move(steady, "swapped", "live", versions[0])
    moves: list[Move] = []
    with Load([connect(steady) for _ in range(NUM_CLIENTS)], "swapped@live") as load:
        for turn in range(4):
            if turn == 2:
                versions.append(train(steady, dataset))
            moves.append(move(steady, "swapped", "live", versions[-1] if turn % 2 else versions[0]))
            time.sleep(1.4)
    assert load.failures == []
    assert {answer.model for answer in load.answers} == {f"swapped@{version}" for version in versions}
    assert settled(load.answers, moves) == [{each.model} for each in moves]
    assert len(load.answers) > 100
