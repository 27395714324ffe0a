"""Bytes on their way from a connection to a file: one block is written in a thread while the next one arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool

BLOCK_BYTES = 1 << 21
Block = list[bytes]


async def pour(pieces: AsyncIterator[bytes], write: Callable[[Block], object]) -> None:
    """Call `write` in a thread with block after block, one at a time; memory holds two blocks at most.

    Pieces are handed on as they came, because copying them costs as much as writing them. When this ends, however it
    ends, no call of `write` is still running, so the file may be closed.
    """
    block: Block = []
    num_bytes = 0
    writing: asyncio.Task[object] | None = None
    try:
        async for piece in pieces:
            block.append(piece)
            num_bytes += len(piece)
            if num_bytes >= BLOCK_BYTES:
                await _finish(writing)
                writing = asyncio.create_task(run_in_threadpool(write, block))
                block, num_bytes = [], 0
        await _finish(writing)
        writing = None
        if block:
            await run_in_threadpool(write, block)
    finally:
        if writing is not None:
            await asyncio.wait({writing})


async def _finish(writing: asyncio.Task[object] | None) -> None:
    # Waiting for a task itself would cancel it along with us, while its thread goes on.
    if writing is not None:
        await asyncio.wait({writing})
        writing.result()
