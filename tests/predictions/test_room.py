"""The room for large predictions: bounded, fair to small ones, and never lost."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.errors import Unavailable
from app.predictions.measured import Measured
from app.predictions.room import Room
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained

LONG = 1.0


async def fill(room: Room, leave: threading.Event, num: int) -> list[asyncio.Task[bool]]:
    """So many large predictions that go on until they may leave."""
    tasks = [asyncio.create_task(room.compute(LONG, leave.wait, 20)) for _ in range(num)]
    await asyncio.sleep(0.05)
    return tasks


def test_more_than_may_wait_are_refused_at_once_and_small_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})

    async def run() -> None:
        room, leave = Room(max_waiting=3, wait_seconds=20), threading.Event()
        tasks = await fill(room, leave, 5)
        with pytest.raises(Unavailable, match="3 large predictions wait already"):
            await room.compute(LONG, str)
        assert await room.compute(0.0001, str) == ""
        leave.set()
        assert all(await asyncio.gather(*tasks))
        assert await room.compute(LONG, str) == ""

    asyncio.run(run())


def test_nobody_waits_for_longer_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})

    async def run() -> None:
        room, leave = Room(max_waiting=3, wait_seconds=0.1), threading.Event()
        tasks = await fill(room, leave, 1)
        with pytest.raises(Unavailable, match=r"within 0\.1 s"):
            await room.compute(LONG, str)
        leave.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_one_that_fails_or_is_given_up_leaves_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})

    async def run() -> None:
        room, leave = Room(max_waiting=1, wait_seconds=20), threading.Event()
        for _ in range(3):
            with pytest.raises(ValueError, match="invalid literal"):
                await room.compute(LONG, int, "x")
        tasks = await fill(room, leave, 2)
        tasks[1].cancel()
        await asyncio.sleep(0)
        leave.set()
        await tasks[0]
        assert await room.compute(LONG, str) == ""

    asyncio.run(run())


def test_what_a_version_took_says_what_it_will_take(trained: Trained) -> None:
    predictor = Measured.load(trained.manifest, trained.graph)
    assert predictor.expects(64) == pytest.approx(0.001)
    for _ in range(50):
        predictor.count(100, 1.0)
    assert predictor.expects(10) == pytest.approx(0.1, rel=0.01)
    predictor.predict_rows([])
    for _ in range(50):
        predictor.predict_rows([ROW] * 200)
    assert predictor.expects(10) < 0.01


@pytest.mark.usefixtures("version")
def test_a_full_room_is_503_with_a_time_to_come_back(client: TestClient, app: FastAPI) -> None:
    app.state.room = Room(max_waiting=0, wait_seconds=1)
    app.state.room._cores = asyncio.Semaphore(0)
    answer = client.post("/v1/models/penguins/predict", json={"rows": [ROW] * 65})
    assert_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert client.post("/v1/models/penguins/predict", json={"rows": [ROW]}).status_code == 200
