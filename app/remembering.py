"""Answers of the database that are trusted for less than a second, and asked for again before that while in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from starlette.concurrency import run_in_threadpool

TRUSTED_SECONDS = 0.8
# What is asked for all the time is looked up again before that, while the answers go on.
FRESH_SECONDS = 0.4
MAX_REMEMBERED = 4096

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values by key, for one event loop; however many ask at once, one of them calls `look`, in a thread."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[float, Value]] = {}
        self._looking: dict[Key, asyncio.Task[Value]] = {}

    def find(self, key: Key, look: Callable[..., Value], *arguments: Any) -> Value | None:
        """The value, if it is trusted still."""
        known = self._known.get(key)
        if known is None:
            return None
        age = time.monotonic() - known[0]
        if age > TRUSTED_SECONDS:
            return None
        if age > FRESH_SECONDS:
            self._start(key, look, *arguments)
        return known[1]

    async def get(self, key: Key, look: Callable[..., Value], *arguments: Any) -> Value:
        """The value, looked for if need be. Raises: what `look` raises."""
        found = self.find(key, look, *arguments)
        return found if found is not None else await self.look(key, look, *arguments)

    async def look(self, key: Key, look: Callable[..., Value], *arguments: Any) -> Value:
        """The value as it is now."""
        # Who goes away must not take it along: others may wait for it, too.
        return await asyncio.shield(self._start(key, look, *arguments))

    async def settle(self) -> None:
        """Wait for the looks that are under way: their connections must be back before the pool is closed."""
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    def _start(self, key: Key, look: Callable[..., Value], *arguments: Any) -> asyncio.Task[Value]:
        """The look that is under way, or a new one."""
        task = self._looking.get(key)
        if task is None:
            asked = time.monotonic()
            task = self._looking[key] = asyncio.create_task(run_in_threadpool(look, *arguments))
            task.add_done_callback(lambda done: self._keep(key, asked, done))
        return task

    def _keep(self, key: Key, asked: float, done: asyncio.Task[Value]) -> None:
        del self._looking[key]
        # A failure is told to those who wait; what was known stays true for the rest of its time.
        if not done.cancelled() and done.exception() is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = asked, done.result()
