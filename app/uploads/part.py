"""The file of an upload that is not whole yet: one writer at a time, cut to what was acknowledged, then continued."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.durable import disk_faults_are_507, sync_folder
from app.errors import Corrupt, Locked


class Parts:
    """The files of unfinished uploads, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, upload_id: str) -> Path:
        """Where the bytes of an upload lie."""
        return self.folder / upload_id

    def create(self, upload_id: str) -> None:
        """An empty file, whose name survives a power cut."""
        with disk_faults_are_507():
            self.folder.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self.path(upload_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            sync_folder(self.folder)

    @contextmanager
    def open(self, upload_id: str) -> Iterator[Part | None]:
        """The file, while no other process has it; None when it is gone. Raises: Locked."""
        try:
            fd = os.open(self.path(upload_id), os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield None
            return
        try:
            # Held by the kernel for as long as the process lives, so a killed server leaves no lock behind.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Part(fd)
        except BlockingIOError:
            raise Locked("Another request is writing to this upload; try again.") from None
        finally:
            os.close(fd)

    def remove(self, upload_id: str) -> None:
        """Drop the bytes."""
        self.path(upload_id).unlink(missing_ok=True)

    def remove_strays(self, known: set[str], *, grace_seconds: float) -> int:
        """Remove files of no known upload, but for new ones, whose row may come; the number of them."""
        oldest_kept = time.time() - grace_seconds
        strays = [path for path in self.folder.glob("*") if path.name not in known]
        strays = [path for path in strays if path.stat().st_mtime < oldest_kept]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)


class Part:
    """An open file of an upload."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def cut(self, offset_bytes: int) -> None:
        """Drop what came after the last acknowledged byte. Raises: Corrupt when acknowledged bytes are gone."""
        if os.fstat(self._fd).st_size < offset_bytes:
            raise Corrupt("Bytes of this upload that were acknowledged are gone; upload the file again.")
        with disk_faults_are_507():
            os.ftruncate(self._fd, offset_bytes)
            os.lseek(self._fd, offset_bytes, os.SEEK_SET)

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises: StorageFull."""
        with disk_faults_are_507():
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        """Make the bytes durable. Raises: StorageFull."""
        with disk_faults_are_507():
            os.fsync(self._fd)

    def head(self, num_bytes: int) -> bytes:
        """The first bytes."""
        return os.pread(self._fd, num_bytes, 0)
