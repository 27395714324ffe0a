"""Bytes written so that they survive a power cut: file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import StorageFull

WRITE_BACK_BYTES = 1 << 24
SYNC_FILE_RANGE_WRITE = 2
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


@dataclass(frozen=True)
class Blob:
    """Bytes in the store: their SHA-256 in hexadecimal, and how many they are."""

    sha256: str
    size_bytes: int


class Incoming:
    """A blob being received: write chunks, then `Storage.keep` it; leaving the context drops what was not kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = self._begun_bytes = 0
        self._is_durable = False
        self._digest = hashlib.sha256()
        with disk_faults_are_507():
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)

    def write(self, *chunks: bytes) -> None:
        """Append bytes. Raises: StorageFull when the disk refuses them."""
        self._is_durable = False
        for chunk in chunks:
            with disk_faults_are_507():
                view = memoryview(chunk)
                while view:
                    view = view[os.write(self._fd, view) :]
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
        if self.size_bytes - self._begun_bytes >= WRITE_BACK_BYTES:
            begin_write_back(self._fd, self._begun_bytes, self.size_bytes - self._begun_bytes)
            self._begun_bytes = self.size_bytes

    @property
    def blob(self) -> Blob:
        """Digest and size of what was written until now."""
        return Blob(self._digest.hexdigest(), self.size_bytes)

    def sync(self) -> None:
        """Make the bytes durable. A failed fsync is final: the kernel may have dropped the pages."""
        if not self._is_durable:
            with disk_faults_are_507():
                os.fsync(self._fd)
            self._is_durable = True

    def close(self) -> None:
        """Release the descriptor and drop the file, unless it was kept."""
        os.close(self._fd)
        self.path.unlink(missing_ok=True)


def begin_write_back(fd: int, offset_bytes: int, num_bytes: int) -> None:
    """Have the kernel begin to write bytes to the disk, so that less is left for fsync to wait for; only a hint."""
    if _sync_file_range is not None:
        _sync_file_range(fd, ctypes.c_int64(offset_bytes), ctypes.c_int64(num_bytes), SYNC_FILE_RANGE_WRITE)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, content: bytes) -> None:
    """Create or replace one small file, such as the admin key, so that it survives power loss."""
    incoming = Incoming(path.with_name(f".{path.name}.{secrets.token_hex(8)}"))
    try:
        incoming.write(content)
        incoming.sync()
        with disk_faults_are_507():
            os.rename(incoming.path, path)
            sync_folder(path.parent)
    finally:
        incoming.close()


def write_once(path: Path, content: bytes) -> bytes:
    """Create a small file durably unless it is there; answers what it holds, whoever wrote it."""
    incoming = Incoming(path.with_name(f".{path.name}.{secrets.token_hex(8)}"))
    try:
        incoming.write(content)
        incoming.sync()
        with disk_faults_are_507(), contextlib.suppress(FileExistsError):
            os.link(incoming.path, path)
            sync_folder(path.parent)
    finally:
        incoming.close()
    return path.read_bytes()


@contextmanager
def disk_faults_are_507() -> Iterator[None]:
    """Turn what a full or broken disk raises into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise StorageFull("The storage could not take the bytes; nothing was stored.") from error
        raise
