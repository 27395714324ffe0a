"""Stored bytes, named by their SHA-256: one durable way in, verified on the way out.

    temporary file -> fsync -> rename -> fsync of the folder -> (the caller's database transaction) -> answer

A blob is written before the row that names it and removed after that row, so a crash leaves at most a blob
that nothing names; `sweep` removes those, once they are older than a grace period.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.durable import Blob, Incoming, disk_faults_are_507, sync_folder
from app.errors import Corrupt

CHUNK_BYTES = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{64}")


class Storage:
    """Blobs in a local folder; safe for many processes at once."""

    def __init__(self, folder: Path) -> None:
        self.blobs = folder / "blobs"
        self.incoming = folder / "incoming"
        for path in (self.blobs, self.incoming):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = self.blobs / ".lock"
        self._lock.touch(mode=0o600)
        sync_folder(folder)

    @contextmanager
    def receive(self) -> Iterator[Incoming]:
        """A place to write bytes whose digest is not known yet."""
        incoming = Incoming(self.incoming / secrets.token_hex(16))
        try:
            yield incoming
        finally:
            incoming.close()

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """A folder for the files of one ingest, removed with all that is in it."""
        folder = self.incoming / f"work-{secrets.token_hex(16)}"
        with disk_faults_are_507():
            folder.mkdir(mode=0o700)
        try:
            yield folder.absolute()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, incoming: Incoming) -> Blob:
        """Make what was received durable under its digest."""
        incoming.sync()
        self._publish(incoming.path, incoming.blob)
        return incoming.blob

    def put_file(self, source: Path) -> Blob:
        """Store a copy of a file that a child wrote; what is hashed is what is stored."""
        with self.receive() as incoming, source.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                incoming.write(chunk)
            return self.keep(incoming)

    def adopt(self, source: Path) -> Blob:
        """Make a durable file that will not change any more a blob, without a copy; its own name stays, too."""
        with source.open("rb") as file:
            blob = Blob(hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size)
        name = self.incoming / secrets.token_hex(16)
        try:
            with disk_faults_are_507():
                os.link(source, name)
            self._publish(name, blob)
        finally:
            name.unlink(missing_ok=True)
        return blob

    def put(self, content: bytes) -> Blob:
        """Store bytes."""
        with self.receive() as incoming:
            incoming.write(content)
            return self.keep(incoming)

    def path(self, sha256: str) -> Path:
        """Where a blob lies. Anything but a digest is a bug, never a path."""
        if not DIGEST.fullmatch(sha256):
            raise ValueError("not a SHA-256 digest")
        return self.blobs / sha256[:2] / sha256

    def verified_path(self, sha256: str) -> Path:
        """The path of a blob whose bytes were just compared with its digest.

        Raises: Corrupt when they differ or the blob is gone.
        """
        path, digest = self.path(sha256), hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
        except OSError:
            raise _corrupt(sha256) from None
        if digest.hexdigest() != sha256:
            raise _corrupt(sha256)
        return path

    def read(self, sha256: str) -> bytes:
        """All bytes of a blob. Raises: Corrupt when they do not match their digest."""
        try:
            content = self.path(sha256).read_bytes()
        except OSError:
            raise _corrupt(sha256) from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _corrupt(sha256)
        return content

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep `remove` and `sweep` waiting: from storing blobs until the rows that name them are committed."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def remove(self, digests: Iterable[str], is_referenced: Callable[[str], bool]) -> int:
        """Remove these blobs now, but for those that rows still name; nobody stores one while rows are looked at."""
        removed = 0
        with self._locked(fcntl.LOCK_EX):
            for sha256 in digests:
                path = self.path(sha256)
                if path.exists() and not is_referenced(sha256):
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def sweep(self, referenced: set[str], *, grace_seconds: float) -> int:
        """Remove blobs that nothing names and leftovers of broken uploads, if older than the grace period.

        `referenced` must be read from the database before the call; a blob stored since then is younger than
        the grace period. Returns the number of files removed.
        """
        oldest_kept = time.time() - grace_seconds
        stale = [path for path in self.incoming.iterdir() if _modified(path) < oldest_kept]
        stale += [
            path for path in self.blobs.glob("??/*") if path.name not in referenced and _modified(path) < oldest_kept
        ]
        removed = 0
        for path in stale:
            with self._locked(fcntl.LOCK_EX):
                # Looked at again under the lock: a new upload of the same bytes renews the time.
                if _modified(path) < oldest_kept:
                    _remove(path)
                    removed += 1
        return removed

    def _publish(self, source: Path, blob: Blob) -> None:
        target = self.path(blob.sha256)
        with disk_faults_are_507(), self._locked(fcntl.LOCK_SH):
            if _holds(target, blob):
                os.utime(target)
                # Whoever stored it may not have got further than the rename.
                self._sync_name(target)
                return
            target.parent.mkdir(mode=0o700, exist_ok=True)
            os.rename(source, target)
            try:
                self._sync_name(target)
            except OSError:
                # A failed fsync is final: what may not be durable must not be found by the next upload.
                target.unlink(missing_ok=True)
                raise

    def _sync_name(self, target: Path) -> None:
        sync_folder(target.parent)
        sync_folder(self.blobs)

    @contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        fd = os.open(self._lock, os.O_RDWR)
        try:
            fcntl.flock(fd, mode)
            yield
        finally:
            os.close(fd)


def _holds(target: Path, blob: Blob) -> bool:
    # Bytes that rotted on the disk are replaced by the good ones that just arrived.
    try:
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _corrupt(sha256: str) -> Corrupt:
    return Corrupt(f"The stored bytes with SHA-256 {sha256} are missing or damaged; restore them from a copy.")
