"""Room for predictions that take long: as many at a time as there are cores, some that wait, and a refusal for more.

Without it a burst of large requests would take all threads that the other routes share, and everybody would wait in a
line without an end; who is refused at once can ask another server, or later.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from app.errors import Unavailable

Answer = TypeVar("Answer")
# What ends sooner is done at once: a thread would be found in a tenth of it, and threads that compute in Python share
# one core with the event loop anyway.
AT_ONCE_SECONDS = 0.001


class Room:
    """The room of one API process."""

    def __init__(self, *, max_waiting: int, wait_seconds: float) -> None:
        self._max_waiting, self._wait_seconds = max_waiting, wait_seconds
        self._cores = asyncio.Semaphore(len(os.sched_getaffinity(0)))
        self._num_waiting = 0

    async def compute(self, seconds: float, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Compute what is expected to take so long: at once if that is no time, else in a thread when there is room.

        Raises: Unavailable when too many wait already, or a core was not free in time.
        """
        if seconds <= AT_ONCE_SECONDS:
            return function(*arguments)
        await self._enter()
        try:
            return await run_in_threadpool(function, *arguments)
        finally:
            self._cores.release()

    async def _enter(self) -> None:
        if self._cores.locked() and self._num_waiting >= self._max_waiting:
            raise Unavailable(f"{self._num_waiting} large predictions wait already; ask again later.")
        self._num_waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._cores.acquire()
        except TimeoutError:
            raise Unavailable(f"No core was free for this prediction within {self._wait_seconds:g} s.") from None
        finally:
            self._num_waiting -= 1
