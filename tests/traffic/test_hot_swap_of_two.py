"""`maas serve --workers 2` under load: an alias is moved through one process, and both follow within a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx2 as httpx
import psutil
import pytest
from fastapi import FastAPI

from app.principal import Principal
from tests.processes import Server, command_of, eventually
from tests.traffic.load import Load, Move, connect, move, settled
from tests.trained import Trained, store_version

CLIENTS_EACH = 3


@pytest.fixture
def two(
    app: FastAPI,
    owner: Principal,
    trained: Trained,
    dataset_id: str,
    version: int,
    serve_stored: Callable[..., Server],
) -> Server:
    """A server of two API processes over two versions that were stored without training."""
    assert store_version(app, owner, trained, dataset_id) == version + 1
    return serve_stored("--workers", "2", MAAS_EMBEDDED_WORKER="false")


def api_processes(server: Server) -> list[psutil.Process]:
    """The processes that answer requests."""
    return [process for process in server.processes() if "--listener" in command_of(process)]


def connected_to(process: psutil.Process, server: Server) -> list[httpx.Client]:
    """Clients whose connections this process has accepted: the others sleep meanwhile."""
    others = [other for other in api_processes(server) if other.pid != process.pid]
    for other in others:
        other.suspend()
    try:
        clients = [connect(server) for _ in range(CLIENTS_EACH)]
        assert all(client.get("/readyz").status_code == 200 for client in clients)
    finally:
        for other in others:
            other.resume()
    # Half of the requests go past the lane below ASGI.
    clients[0].headers["x-maas-sticky"] = "one"
    return clients


def test_both_processes_answer_with_what_an_alias_points_at_within_a_second_and_no_request_fails(two: Server) -> None:
    move(two, "penguins", "live", 1)
    processes = eventually(lambda: found if len(found := api_processes(two)) == 2 else None)
    clients = [client for process in processes for client in connected_to(process, two)]
    moves: list[Move] = []
    with Load(clients, "penguins@live") as load:
        time.sleep(0.5)
        for version in (2, 1, 2):
            moves.append(move(two, "penguins", "live", version))
            time.sleep(1.4)
    assert api_processes(two) == processes
    assert load.failures == []
    for first in (0, CLIENTS_EACH):
        mine = [answer for answer in load.answers if first <= answer.client < first + CLIENTS_EACH]
        assert settled(mine, moves) == [{each.model} for each in moves]
