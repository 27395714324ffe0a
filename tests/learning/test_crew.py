"""Tasks in processes of their own: told apart, bounded in number, ended when asked, and never left behind."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.learning.ensemble.crew import Crew, IsOver, Message, Tell
from app.learning.errors import LearningError
from app.learning.memory import private_bytes

Done = list[tuple[int, Message | None]]


def run(
    crew: Crew, numbers: Sequence[int], poll: Callable[[], str | None] = lambda: None, **more: Any
) -> tuple[Any, Done]:
    """Run tasks; why it ended, and what was done with which failure."""
    done: Done = []
    calls: dict[str, Any] = {"hear": lambda number, message: None, "may_begin": lambda number: True} | more
    reason = crew.run(numbers, done=lambda number, failure: done.append((number, failure)), poll=poll, **calls)
    return reason, done


def test_tasks_run_a_few_at_a_time_and_tell_what_they_do(tmp_path: Path) -> None:
    heard: dict[int, list[Message]] = {}

    def work(number: int, tell: Tell, is_over: IsOver) -> None:
        (tmp_path / f"{number}").touch()
        tell({"at_once": len(list(tmp_path.iterdir()))})
        time.sleep(0.1)
        tell({"text": "x" * 200_000})
        (tmp_path / f"{number}").unlink()

    def hear(number: int, message: Message) -> None:
        heard.setdefault(number, []).append(message)

    reason, done = run(Crew(2, work), range(5), hear=hear)
    assert reason is None
    assert sorted(done) == [(number, None) for number in range(5)]
    assert max(messages[0]["at_once"] for messages in heard.values()) <= 2
    assert all(len(messages[1]["text"]) == 200_000 for messages in heard.values())


@pytest.mark.parametrize("size", [1, 2])
def test_a_task_that_fails_says_why_and_the_others_go_on(size: int) -> None:
    def work(number: int, tell: Tell, is_over: IsOver) -> None:
        if number == 1:
            raise LearningError("It cannot be learned.", code="hopeless")
        if number == 2:
            raise MemoryError

    _, done = run(Crew(size, work), range(4))
    failures = dict(done)
    assert failures[0] is failures[3] is None
    assert failures[1] == {"code": "hopeless", "message": "It cannot be learned."}
    assert failures[2] is not None
    assert failures[2]["code"] == "out-of-memory"


def test_a_killed_task_counts_as_one_without_memory() -> None:
    _, done = run(Crew(2, lambda number, tell, is_over: os.kill(os.getpid(), 9)), range(1))
    assert done[0][1] is not None
    assert done[0][1]["code"] == "out-of-memory"


def test_a_bug_in_a_task_is_raised(capfd: pytest.CaptureFixture[str]) -> None:
    def work(number: int, tell: Tell, is_over: IsOver) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(RuntimeError, match="task 0 ended with status 70"):
        run(Crew(2, work), range(1))
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err


def endless(folder: Path) -> Callable[[int, Tell, IsOver], None]:
    """Work that goes on until it is asked to end, and then leaves a file."""

    def work(number: int, tell: Tell, is_over: IsOver) -> None:
        tell({"pid": os.getpid()})
        while not is_over():
            time.sleep(0.01)
        (folder / f"{number}").touch()

    return work


@pytest.mark.parametrize(("word", "left"), [("finish", {"0"}), ("paused", set()), ("cancelled", set())])
def test_a_task_right_here_ends_with_what_it_has_or_is_interrupted(word: str, left: set[str], tmp_path: Path) -> None:
    heard: list[Message] = []
    reason, done = run(
        Crew(1, endless(tmp_path)),
        range(3),
        poll=lambda: word if heard else None,
        hear=lambda number, message: heard.append(message),
    )
    assert (reason, len(done)) == (word, len(left))
    assert heard == [{"pid": os.getpid()}]
    assert {path.name for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize(("word", "left"), [("finish", {"0", "1"}), ("paused", set()), ("cancelled", set())])
def test_running_tasks_end_with_what_they_have_or_are_killed(word: str, left: set[str], tmp_path: Path) -> None:
    pids: list[int] = []
    reason, _ = run(
        Crew(2, endless(tmp_path)),
        range(5),
        poll=lambda: word if len(pids) == 2 else None,
        hear=lambda number, message: pids.append(message["pid"]),
    )
    assert reason == word
    assert {path.name for path in tmp_path.iterdir()} == left
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("size", [1, 2])
def test_from_the_first_task_on_that_may_not_begin_none_is_begun(size: int) -> None:
    reason, done = run(Crew(size, lambda number, tell, is_over: None), range(5), may_begin=lambda number: number != 2)
    assert reason is None
    assert sorted(number for number, _ in done) == [0, 1]


MEBIBYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much private memory a process has")
@pytest.mark.parametrize("size", [2, 4])
def test_processes_share_the_limit_of_memory_and_who_needs_more_runs_again_with_fewer_beside_it(
    size: int, tmp_path: Path
) -> None:
    def work(number: int, tell: Tell, is_over: IsOver) -> None:
        # Numbers are sizes: of 400 MiB each of two may have 200, one alone may have all.
        taken = np.ones(number * MEBIBYTE, np.uint8)
        tell({"sum": int(taken[:: 4 * MEBIBYTE].sum())})

    def limited(tell: Tell) -> None:
        limit = private_bytes() + 400 * MEBIBYTE
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        told, begun = set[int](), list[int]()
        _, done = run(
            Crew(size, work),
            (20, 300, 30, 500, 40),
            hear=lambda number, message: told.add(number),
            may_begin=lambda number: not begun.append(number),
        )
        failures = {number: failure and failure["code"] for number, failure in done}
        tell({"failures": list(failures.items()), "told": sorted(told), "begun": begun})

    # The limit of this process cannot be raised again.
    heard: list[Message] = []
    run(
        Crew(2, lambda number, tell, is_over: limited(tell)),
        range(1),
        hear=lambda number, message: heard.append(message),
    )
    failures = dict(heard[0]["failures"])
    assert failures == {20: None, 30: None, 40: None, 300: None, 500: "out-of-memory"}
    assert heard[0]["told"] == [20, 30, 40, 300]
    # It had no room beside the others, who had enough.
    assert [heard[0]["begun"].count(number) > 1 for number in (20, 30, 40, 300)] == [False, False, False, True]


@pytest.mark.parametrize("size", [1, 2])
def test_an_allocation_that_a_library_refuses_is_no_bug(size: int) -> None:
    def work(number: int, tell: Tell, is_over: IsOver) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    _, done = run(Crew(size, work), range(1))
    assert done[0][1] is not None
    assert done[0][1]["code"] == "out-of-memory"
