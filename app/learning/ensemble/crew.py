"""Tasks that do not need each other: each in a forked process, a few at a time, or one after the other right here.

A caller that has them forked must not have computed a gradient: torch's engine does not survive a fork. A task tells
its progress in JSON lines on a pipe and leaves its result in a file; nothing is pickled, and a task whose parent has
gone ends at its next line. Deterministic: what a task computes does not depend on the others, nor on how many there
are at a time.

Where memory is limited (RLIMIT_DATA), what is left of it is divided among the processes. A task that needs more than
its share is run again beside half as many others, in the end alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from app.learning.errors import LearningError, OutOfMemory
from app.learning.memory import is_refusal, private_bytes

POLL_SECONDS = 0.05
# What a task may take to end after it was asked to: the epoch it is in, and writing its result.
ENDING_SECONDS = 30.0
EXIT_BUG = 70
# After these words nobody wants what a task has; what it would have come to is computed again, or never.
KILLING = frozenset({"paused", "cancelled"})

Message = dict[str, Any]
Tell = Callable[[Message], None]
# Asked before every step; True means: end now, with the best so far.
IsOver = Callable[[], bool]
Work = Callable[[int, Tell, IsOver], None]


@dataclass
class _Hand:
    """One running task: its process, the pipes on which it tells and is asked to end, whether its memory is a share."""

    number: int
    pid: int
    told_fd: int
    ask_fd: int
    has_share: bool
    rest: bytearray = field(default_factory=bytearray)
    failure: Message | None = None

    @property
    def is_too_big(self) -> bool:
        """Whether it failed for want of memory that it may get when fewer run beside it."""
        return self.has_share and self.failure is not None and self.failure["code"] == OutOfMemory.code


class _Stopped(Exception):
    """A task that runs here was interrupted."""


class Crew:
    """Runs `work(number, tell, is_over)` for numbers of tasks, up to `size` processes at a time; 1: in this process."""

    def __init__(self, size: int, work: Work) -> None:
        self._size, self._work = size, work
        self._at_once = size
        self._hands: dict[int, _Hand] = {}

    def run(
        self,
        numbers: Sequence[int],
        *,
        hear: Callable[[int, Message], None],
        done: Callable[[int, Message | None], None],
        may_begin: Callable[[int], bool],
        poll: Callable[[], str | None],
    ) -> str | None:
        """Run the tasks in this order; returns None when all have ended, else what `poll` said.

        `hear(number, message)` is called for what a task tells, `done(number, failure)` when it has ended, with the
        `code` and `message` of what it failed of. From the first task on that may not begin, none is begun. When `poll`
        answers "paused" or "cancelled", running tasks are killed; for any other word they are asked to end with what
        they have, and no other is begun.
        Raises: RuntimeError when a task died of a bug; its log says more.
        """
        if self._size == 1:
            return self._run_here(numbers, hear=hear, done=done, may_begin=may_begin, poll=poll)
        try:
            return self._run_forked(list(numbers), hear=hear, done=done, may_begin=may_begin, poll=poll)
        finally:
            self._kill()

    def _run_forked(
        self,
        waiting: list[int],
        *,
        hear: Callable[[int, Message], None],
        done: Callable[[int, Message | None], None],
        may_begin: Callable[[int], bool],
        poll: Callable[[], str | None],
    ) -> str | None:
        reason, deadline = None, float("inf")
        with selectors.DefaultSelector() as selector:
            while waiting or self._hands:
                while waiting and len(self._hands) < self._at_once:
                    if may_begin(waiting[0]):
                        self._begin(waiting.pop(0), selector)
                    else:
                        waiting = []
                for hand in self._listen(selector, hear):
                    if hand.is_too_big and reason is None:
                        # What it comes to does not depend on who runs beside it.
                        self._at_once = max(1, self._at_once // 2)
                        waiting.insert(0, hand.number)
                    else:
                        done(hand.number, hand.failure)
                if reason is None:
                    reason = poll()
                    if reason in KILLING:
                        return reason
                    if reason is not None:
                        waiting, deadline = [], time.monotonic() + ENDING_SECONDS
                        self._ask_to_end()
                elif time.monotonic() > deadline:
                    return reason
        return reason

    def _run_here(
        self,
        numbers: Sequence[int],
        *,
        hear: Callable[[int, Message], None],
        done: Callable[[int, Message | None], None],
        may_begin: Callable[[int], bool],
        poll: Callable[[], str | None],
    ) -> str | None:
        reason: str | None = None

        def is_over() -> bool:
            nonlocal reason
            reason = reason or poll()
            if reason in KILLING:
                raise _Stopped
            return reason is not None

        for number in numbers:
            try:
                if is_over() or not may_begin(number):
                    break
                self._work(number, partial(hear, number), is_over)
                failure = None
            except _Stopped:
                break
            except Exception as error:
                failure = _failure(error)
                if failure is None:
                    raise
            done(number, failure)
        return reason

    def _begin(self, number: int, selector: selectors.BaseSelector) -> None:
        told_fd, tell_fd = os.pipe()
        asked_fd, ask_fd = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        share = _share(self._at_once)
        pid = os.fork()
        if pid == 0:
            if share is not None:
                resource.setrlimit(resource.RLIMIT_DATA, (share, share))
            for hand in self._hands.values():
                os.close(hand.told_fd)
                os.close(hand.ask_fd)
            os.close(told_fd)
            os.close(ask_fd)
            _child(self._work, number, tell_fd, asked_fd)
        os.close(tell_fd)
        os.close(asked_fd)
        hand = self._hands[told_fd] = _Hand(number, pid, told_fd, ask_fd, share is not None)
        selector.register(told_fd, selectors.EVENT_READ, hand)

    def _listen(
        self,
        selector: selectors.BaseSelector,
        hear: Callable[[int, Message], None],
    ) -> list[_Hand]:
        """Hear what tasks tell; returns those that have ended."""
        ended = []
        for key, _ in selector.select(POLL_SECONDS):
            hand: _Hand = key.data
            chunk = os.read(hand.told_fd, 1 << 16)
            if not chunk:
                selector.unregister(hand.told_fd)
                self._end(hand)
                ended.append(hand)
                continue
            *lines, rest = bytes(hand.rest + chunk).split(b"\n")
            hand.rest = bytearray(rest)
            for line in lines:
                message = json.loads(line)
                if "failure" in message:
                    hand.failure = message["failure"]
                else:
                    hear(hand.number, message)
        return ended

    def _end(self, hand: _Hand) -> None:
        del self._hands[hand.told_fd]
        os.close(hand.told_fd)
        os.close(hand.ask_fd)
        _, status = os.waitpid(hand.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:
            hand.failure = {"code": OutOfMemory.code, "message": "The process of a member was killed."}
        elif code != 0:
            raise RuntimeError(f"task {hand.number} ended with status {code}")

    def _ask_to_end(self) -> None:
        for hand in self._hands.values():
            with contextlib.suppress(BrokenPipeError):
                os.write(hand.ask_fd, b"end\n")

    def _kill(self) -> None:
        for hand in self._hands.values():
            os.kill(hand.pid, signal.SIGKILL)
            os.waitpid(hand.pid, 0)
            os.close(hand.told_fd)
            os.close(hand.ask_fd)
        self._hands.clear()


def _child(work: Work, number: int, tell_fd: int, asked_fd: int) -> NoReturn:
    """Do the work, then leave without running the parent's exit handlers."""
    code = EXIT_BUG
    os.set_blocking(asked_fd, False)

    def tell(message: Message) -> None:
        line = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        while line:
            line = line[os.write(tell_fd, line) :]

    def is_over() -> bool:
        try:
            return os.read(asked_fd, 16) is not None
        except BlockingIOError:
            return False

    try:
        work(number, tell, is_over)
        code = 0
    except BrokenPipeError:
        code = 0
    except BaseException as error:
        failure = _failure(error)
        if failure is None:
            traceback.print_exc()
        else:
            tell({"failure": failure})
            code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _share(at_once: int) -> int | None:
    """How much memory a process may have that is forked now to run beside others; None: as much as this one.

    Its pages are at first this one's, and count once. What this one takes later is counted when the next is forked.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY or at_once == 1:
        return None
    held = private_bytes()
    return held + max(0, limit - held) // at_once


def _failure(error: BaseException) -> Message | None:
    """What an expected failure is told as; None of a bug."""
    if isinstance(error, LearningError):
        return {"code": error.code, "message": error.message}
    if isinstance(error, MemoryError) or is_refusal(str(error)):
        return {"code": OutOfMemory.code, "message": "It needs more memory than it may use."}
    return None
