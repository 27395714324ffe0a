"""Clients that predict without a pause while a test moves what they ask for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import httpx2 as httpx

from tests.processes import Server
from tests.trained import ROW

BODY = {"rows": [ROW]}
KEEP_ALIVE_SECONDS = 5.0


class Answer(NamedTuple):
    """Which client got an answer, when it had asked and had it, and which version it was of."""

    client: int
    asked: float
    ended: float
    model: str


class Move(NamedTuple):
    """When an alias was asked to move, when that was answered, and which version it points at since."""

    asked: float
    ended: float
    model: str


class Load:
    """A thread for each client, which holds one connection; all ask for the same reference."""

    def __init__(self, clients: Sequence[httpx.Client], reference: str) -> None:
        self.answers: list[Answer] = []
        self.failures: list[str] = []
        self._path = f"/v1/models/{reference}/predict"
        self._done = threading.Event()
        self._clients = clients
        self._threads = [threading.Thread(target=self._run, args=each) for each in enumerate(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(60)
        for client in self._clients:
            client.close()

    def _run(self, number: int, client: httpx.Client) -> None:
        answered = time.monotonic() - KEEP_ALIVE_SECONDS
        while not self._done.is_set():
            asked = time.monotonic()
            try:
                answer = client.post(self._path, json=BODY)
            except httpx.TransportError as error:
                silent = time.monotonic() - answered
                # A server closes what is idle for so long; on a starved machine that may meet the next request.
                if silent < KEEP_ALIVE_SECONDS:
                    self.failures.append(f"{error!r}, {silent:.3f} s after the answer before")
                continue
            answered = time.monotonic()
            if answer.status_code != 200:
                self.failures.append(answer.text)
                continue
            self.answers.append(Answer(number, asked, answered, answer.json()["model"]))


def move(server: Server, model: str, alias: str, version: int) -> Move:
    """Point an alias at a version."""
    asked = time.monotonic()
    answer = server.http.put(f"/v1/models/{model}/aliases/{alias}", json={"version": version})
    assert answer.status_code == 200, answer.text
    return Move(asked, time.monotonic(), f"{model}@{version}")


def settled(answers: Sequence[Answer], moves: Sequence[Move]) -> list[set[str]]:
    """What answered after each move: asked for a second after it and more, and answered before the next began."""
    ends = [after.asked for after in moves[1:]] + [float("inf")]
    return [
        {answer.model for answer in answers if answer.asked > move.ended + 1 and answer.ended < end}
        for move, end in zip(moves, ends, strict=True)
    ]


def connect(server: Server) -> httpx.Client:
    """A client with the admin key, which keeps to one connection."""
    headers = {"authorization": f"Bearer {server.key}"}
    limits = httpx.Limits(max_connections=1, keepalive_expiry=None)
    return httpx.Client(base_url=server.url, headers=headers, limits=limits, timeout=60)
