"""The rows of a training, and their order in an epoch, brought piece by piece into a buffer of bounded size.

Shapes: x_BF inputs, y_B targets, w_B weights of the rows or None; order_B row numbers. The order is a function of
(seed, epoch) alone, so a training can go on in the middle of an epoch. Few rows are shuffled as a whole. Of many,
blocks of neighbours change places, then the rows of each group of blocks that now lie side by side are shuffled:
reading touches few pages of memory, or of a mapped file, at a time. Deterministic: yes.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STREAM = 0x0E0C
# Of rows in memory: a block fills a page, a group fits the cache. Of rows in a file: a block is worth a seek.
BLOCK_BYTES, GROUP_BYTES = 4 << 10, 8 << 20
MAPPED_BLOCK_BYTES, MAPPED_GROUP_BYTES = 128 << 10, 32 << 20


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of one part: inputs, targets, and weights where classes are balanced.

    `mapped` is the memory map behind x_BF when the inputs lie in a file.
    """

    x_BF: Tensor
    y_B: Tensor
    w_B: Tensor | None = None
    mapped: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self.y_B)

    def part(self, start: int, end: int) -> Data:
        """Return a view of the rows from start to end."""
        w_B = None if self.w_B is None else self.w_B[start:end]
        return Data(self.x_BF[start:end], self.y_B[start:end], w_B)

    def to(self, device: torch.device) -> Data:
        """Return the rows in the memory of a device; from pinned memory the copy may still be under way."""
        w_B = None if self.w_B is None else self.w_B.to(device, non_blocking=True)
        return Data(self.x_BF.to(device, non_blocking=True), self.y_B.to(device, non_blocking=True), w_B)

    def release(self) -> None:
        """Give the memory of file pages that were read back to the system; reading them again is allowed."""
        if self.mapped is not None:
            self.mapped.madvise(mmap.MADV_DONTNEED)

    @property
    def row_bytes(self) -> int:
        """The bytes of the inputs of one row."""
        return max(1, self.x_BF.shape[1] * self.x_BF.element_size())


class Order:
    """The order of the rows in an epoch: blocks change places, then rows do within groups of neighbouring blocks."""

    def __init__(self, seed: int, epoch: int, num_rows: int, block_rows: int, group_rows: int) -> None:
        self._key, self._num_rows = [STREAM, seed, epoch], num_rows
        self._block_rows = block_rows if num_rows > group_rows else 1
        self._group_blocks = max(1, group_rows // self._block_rows)
        # What is left over behind the last whole block is a short block at the end of the order.
        blocks = np.random.default_rng(self._key).permutation(num_rows // self._block_rows)
        self._starts = np.append(blocks, num_rows // self._block_rows) * self._block_rows
        self._latest = (-1, np.empty(0, np.int64))

    def between(self, start: int, end: int) -> Tensor:
        """Return the numbers of the rows at the places from start to end."""
        group_rows = self._group_blocks * self._block_rows
        groups = range(start // group_rows, (end - 1) // group_rows + 1)
        order_B = np.concatenate([self._group(group) for group in groups])
        skipped = groups.start * group_rows
        return torch.from_numpy(order_B[start - skipped : end - skipped])

    def _group(self, group: int) -> NDArray[np.int64]:
        if self._latest[0] != group:
            starts = self._starts[group * self._group_blocks : (group + 1) * self._group_blocks]
            rows_B = (starts[:, None] + np.arange(self._block_rows)).reshape(-1)
            rows_B = rows_B[rows_B < self._num_rows]
            self._latest = group, np.random.default_rng([*self._key, group]).permutation(rows_B)
        return self._latest[1]


class Shuffled:
    """The rows of a training in the order of an epoch. `begin` an epoch, then ask for parts; one buffer serves all."""

    def __init__(self, data: Data, seed: int, batch_size: int, device: torch.device) -> None:
        self._data, self._seed, self._device = data, seed, device
        num_rows = min(len(data), max(batch_size, GROUP_BYTES // data.row_bytes))
        pinned = device.type == "cuda"

        def room(like: Tensor) -> Tensor:
            return torch.empty((num_rows, *like.shape[1:]), dtype=like.dtype, pin_memory=pinned)

        self._room = Data(room(data.x_BF), room(data.y_B), None if data.w_B is None else room(data.w_B))
        self._sent = torch.cuda.Event() if pinned else None  # type: ignore[no-untyped-call]
        self._sizes = (BLOCK_BYTES, GROUP_BYTES) if data.mapped is None else (MAPPED_BLOCK_BYTES, MAPPED_GROUP_BYTES)
        self._order: Order
        self._held, self._start = self._room.part(0, 0), 0

    def begin(self, epoch: int) -> None:
        """Take up the order of an epoch (counted from 0)."""
        block, group = (max(1, size // self._data.row_bytes) for size in self._sizes)
        self._order = Order(self._seed, epoch, len(self._data), block, group)
        self._held, self._start = self._room.part(0, 0), 0

    def part(self, start: int, end: int) -> Data:
        """Return the rows at the places from start to end, valid until the next call."""
        if not self._start <= start <= end <= self._start + len(self._held):
            self._fill(start, min(len(self._data), start + len(self._room)))
        return self._held.part(start - self._start, end - self._start)

    def _fill(self, start: int, end: int) -> None:
        if self._sent is not None:
            self._sent.synchronize()
        order_B, room = self._order.between(start, end), self._room.part(0, end - start)
        torch.index_select(self._data.x_BF, 0, order_B, out=room.x_BF)
        torch.index_select(self._data.y_B, 0, order_B, out=room.y_B)
        if self._data.w_B is not None and room.w_B is not None:
            torch.index_select(self._data.w_B, 0, order_B, out=room.w_B)
        self._data.release()
        self._held, self._start = room, start
        if self._sent is not None:
            self._held = room.to(self._device)
            self._sent.record()
