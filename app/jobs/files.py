"""The files that a child has written into the folder of its attempt, on their way into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app import garbage
from app.database import Sessions
from app.durable import Blob
from app.storage import Storage


class Files:
    """Takes over what a child tells of; hold the store until the rows that name it are committed."""

    def __init__(self, folder: Path, storage: Storage, read_sessions: Sessions) -> None:
        self._folder = folder.resolve()
        self._storage = storage
        self._read_sessions = read_sessions

    def path(self, told: dict[str, Any]) -> Path:
        """Where a file is. Raises: OSError when a child named one outside its folder."""
        path = (self._folder / str(told["path"])).resolve()
        if not path.is_relative_to(self._folder):
            raise OSError("a child named a file outside its folder")
        return path

    def keep(self, told: dict[str, Any]) -> Blob:
        """Store a file and remove it. Raises: OSError when it is another one than the child has told of."""
        path = self.path(told)
        blob = self._storage.put_file(path)
        path.unlink()
        if blob.sha256 != told["sha256"]:
            raise OSError(f"{path.name} changed between its writing and its storing")
        return blob

    def keep_all(self, told: dict[str, dict[str, Any]]) -> dict[str, Blob]:
        """Store files by name, each read once more: a version becomes visible only when its bytes are there."""
        stored = {name: self.keep(file) for name, file in told.items()}
        for blob in stored.values():
            self._storage.verified_path(blob.sha256)
        return stored

    def forget(self, sha256: str) -> None:
        """Remove stored bytes now, unless some row names them."""
        with self._read_sessions.begin() as session:
            self._storage.remove([sha256], lambda digest: garbage.is_referenced(session, digest))
