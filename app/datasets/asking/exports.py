"""Written exports, kept for a while: resumed downloads see the same bytes, and nobody writes the same twice at once.

A file is called TABLE.FORMAT.WRITER.DIGEST: what it shows, how it was written, and the SHA-256 of its bytes, which
is compared before every download. Exports can always be written again, so they need not be durable.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from app.durable import disk_faults_are_507
from app.errors import Unavailable
from app.storage import CHUNK_BYTES

EXPORT = "export"
# Counts changes of what exporting.py writes for the same table.
WRITER = 1
NAME = re.compile(r"([0-9a-f]{64})\.[a-z-]+\.[0-9a-z.-]+\.[0-9a-f]{64}")
# A file that was asked for within this time is being sent, or is about to be.
IN_USE_SECONDS = 60.0
ABANDONED_SECONDS = 86_400.0
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.05

Write = Callable[[Path], Path]


@dataclass(frozen=True)
class Exported:
    """A written export whose bytes were just compared with their digest."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Form:
    """How a table is written; only CSV knows formulas."""

    format: Literal["csv", "ndjson"]
    formula_safe: bool = True

    @property
    def name(self) -> str:
        """The form in the name of a file."""
        return f"{self.format}-raw" if self.format == "csv" and not self.formula_safe else self.format


class Exports:
    """The exports in a folder, bounded in bytes; safe for many processes at once."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, parquet_sha256: str, form: Form, write: Write) -> Exported:
        """The export of a table, written by `write(folder)`, which answers where, unless it is there already.

        Raises: Unavailable while another request writes it for long; what `write` raises.
        """
        key = f"{parquet_sha256}.{form.name}.{WRITER}-{version('duckdb')}"
        with self._alone(key):
            return self._find(key) or self._made(key, write)

    def forget(self, parquet_sha256: str) -> None:
        """Remove the exports of a table, such as one that is deleted."""
        for path in self._exports():
            if path.name.startswith(parquet_sha256):
                path.unlink(missing_ok=True)

    def sweep(self, referenced: set[str]) -> int:
        """Remove the exports of tables that nothing names, those over the bound, and what crashes left."""
        stale = [path for path in self._exports() if path.name.partition(".")[0] not in referenced]
        for path in stale:
            path.unlink(missing_ok=True)
        known = set(self._exports())
        for path in set(self._folder.iterdir()) - known:
            # A lock that is removed while somebody holds it costs a second writing of the same bytes.
            if time.time() - _use(path)[1] > ABANDONED_SECONDS:
                _remove(path)
        return len(stale) + self._make_room()

    def _find(self, key: str) -> Exported | None:
        for path in self._exports():
            if path.name.rpartition(".")[0] == key:
                sha256 = path.name.rpartition(".")[2]
                if _digest(path) == sha256:
                    os.utime(path)
                    return Exported(path, sha256)
                path.unlink(missing_ok=True)
        return None

    def _made(self, key: str, write: Write) -> Exported:
        making = self._folder / f"making-{secrets.token_hex(8)}"
        try:
            with disk_faults_are_507():
                making.mkdir(mode=0o700)
            written = write(making)
            sha256 = _digest(written)
            path = self._folder / f"{key}.{sha256}"
            with disk_faults_are_507():
                os.rename(written, path)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        self._make_room()
        return Exported(path, sha256)

    def _make_room(self) -> int:
        """Remove the exports that nobody asked for the longest, until the rest fits."""
        by_age = sorted(((path, *_use(path)) for path in self._exports()), key=lambda use: use[2])
        over_bytes = sum(size_bytes for _, size_bytes, _ in by_age) - self._max_bytes
        removed = 0
        for path, size_bytes, used in by_age:
            if over_bytes <= 0 or time.time() - used < IN_USE_SECONDS:
                break
            path.unlink(missing_ok=True)
            over_bytes -= size_bytes
            removed += 1
        return removed

    def _exports(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if NAME.fullmatch(path.name)]

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Let one request at a time, of all processes, look for or write an export."""
        deadline = time.monotonic() + WAIT_SECONDS
        fd = os.open(self._folder / f".{hashlib.sha256(key.encode()).hexdigest()}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _locked(fd):
                if time.monotonic() > deadline:
                    raise Unavailable("The export is being written; ask again.", retry_after_seconds=5)
                time.sleep(LOOK_SECONDS)
            yield
        finally:
            os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _use(path: Path) -> tuple[int, float]:
    """The size of a file and when it was asked for last; another process may remove it meanwhile."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0.0
    return status.st_size, status.st_mtime


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
