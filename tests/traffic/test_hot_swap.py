"""Aliases moved and versions added under load on a real server: no request fails, and none gets another version."""

from __future__ import annotations

import threading
import time

import httpx2 as httpx

from tests.learning.datasets import REPOSITORY
from tests.processes import Server
from tests.trained import ROW

NUM_CLIENTS = 6
BODY = {"rows": [ROW]}
PREDICT = "/v1/models/swapped@live/predict"
ALIAS = "/v1/models/swapped/aliases/live"


def train(server: Server, dataset: str) -> int:
    """Add a version; its number."""
    body = {"dataset": dataset, "target": "species", "model": "swapped", "spec": "linear", "params": {"epochs": 2}}
    job = server.http.post("/v1/jobs", json=body, headers={"prefer": "wait=60"}, timeout=90).json()
    assert job["status"] == "succeeded", job
    return int(job["model_version"].rpartition("@")[2])


class Load:
    """Clients that predict without a pause, each with a connection of its own."""

    def __init__(self, server: Server) -> None:
        self.answers: list[tuple[float, float, str]] = []
        self.failures: list[str] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(server,)) for _ in range(NUM_CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, server: Server) -> None:
        headers = {"authorization": f"Bearer {server.key}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
            while not self._done.is_set():
                asked = time.monotonic()
                try:
                    answer = http.post(PREDICT, json=BODY)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failures.append(answer.text)
                    continue
                self.answers.append((asked, time.monotonic(), answer.json()["model"]))


def test_no_request_fails_while_aliases_move_and_versions_come(steady: Server) -> None:
    content = (REPOSITORY / "examples" / "penguins.csv").read_bytes()
    sent = steady.http.post("/v1/datasets?name=swapped", content=content, headers={"content-type": "text/csv"})
    dataset = sent.json()["id"]
    versions = [train(steady, dataset), train(steady, dataset)]
    assert steady.http.put(ALIAS, json={"version": versions[0]}).status_code == 200
    moved: list[tuple[float, int]] = []
    with Load(steady) as load:
        for turn in range(4):
            if turn == 2:
                versions.append(train(steady, dataset))
            version = versions[-1] if turn % 2 else versions[0]
            assert steady.http.put(ALIAS, json={"version": version}).status_code == 200
            moved.append((time.monotonic(), version))
            time.sleep(1.4)
    assert load.failures == []
    assert {model for _, _, model in load.answers} == {f"swapped@{version}" for version in versions}
    for index, (at, version) in enumerate(moved):
        until = moved[index + 1][0] - 1 if index + 1 < len(moved) else float("inf")
        # From a second after a move, until the next one is asked for, nothing else answers.
        late = {model for asked, ended, model in load.answers if asked > at + 1 and ended < until}
        assert late <= {f"swapped@{version}"}, (index, version)
    assert len(load.answers) > 100
