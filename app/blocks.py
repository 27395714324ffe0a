"""Stored bytes checked block by block: a page of a large table costs the blocks it lies in, not the whole file."""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.errors import Corrupt
from app.storage import Storage

BLOCK_BYTES = 4 * 2**20
# Readers go forward, so a few blocks spare nearly all second looks.
NUM_KEPT_BLOCKS = 4


def block_digests(path: Path) -> list[str]:
    """SHA-256 of each consecutive block of a file; the last block may be shorter."""
    with path.open("rb") as file:
        return [hashlib.sha256(block).hexdigest() for block in iter(lambda: file.read(BLOCK_BYTES), b"")]


class VerifiedFile(io.RawIOBase):
    """A file to read from, which hands out only bytes of blocks that were just compared with their digests.

    Every method raises Corrupt where the bytes differ or are gone. Not for use by several threads at once.
    """

    def __init__(self, path: Path, blocks: Sequence[str]) -> None:
        super().__init__()
        self._blocks, self._position = blocks, 0
        self._verified: OrderedDict[int, bytes] = OrderedDict()
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            raise _corrupt(path.name) from None
        self._name = path.name
        self._size_bytes = os.fstat(self._fd).st_size
        if -(-self._size_bytes // BLOCK_BYTES) != len(blocks):
            self.close()
            raise _corrupt(path.name)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset from the beginning, from here, or from the end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, fewer only at the end of the file."""
        left = max(0, self._size_bytes - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        pieces = []
        while wanted:
            index, start = divmod(self._position, BLOCK_BYTES)
            piece = memoryview(self._block(index))[start : start + wanted]
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill a buffer; the number of bytes that were left for it."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Release the file and the blocks."""
        if not self.closed:
            os.close(self._fd)
            self._verified.clear()
        super().close()

    def _block(self, index: int) -> bytes:
        block = self._verified.pop(index, None)
        if block is None:
            block = self._checked(index)
        self._verified[index] = block
        while len(self._verified) > NUM_KEPT_BLOCKS:
            self._verified.popitem(last=False)
        return block

    def _checked(self, index: int) -> bytes:
        try:
            block = os.pread(self._fd, BLOCK_BYTES, index * BLOCK_BYTES)
        except OSError:
            raise _corrupt(self._name) from None
        expected_bytes = min(BLOCK_BYTES, self._size_bytes - index * BLOCK_BYTES)
        if len(block) != expected_bytes or hashlib.sha256(block).hexdigest() != self._blocks[index]:
            raise _corrupt(self._name)
        return block


@contextmanager
def verified(storage: Storage, sha256: str, blocks: Sequence[str]) -> Iterator[Path | VerifiedFile]:
    """A blob to read a part of, block by block; one whose blocks have no digests is compared as a whole.

    Raises: Corrupt.
    """
    if not blocks:
        yield storage.verified_path(sha256)
        return
    with VerifiedFile(storage.path(sha256), blocks) as file:
        yield file


def _corrupt(name: str) -> Corrupt:
    return Corrupt(f"The stored bytes with SHA-256 {name} are missing or damaged; restore them from a copy.")
