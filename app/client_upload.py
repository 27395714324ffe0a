"""Large files to the server by tus: after a lost connection they go on where the server is, not from the start."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.client import CHUNK_BYTES, MEDIA_TYPES, UPLOAD_TIMEOUT_SECONDS, Client, ClientError, Unreachable

TUS = {"tus-resumable": "1.0.0"}
# Another request still holds the file, or the server has no capacity now.
PASSING = frozenset({409, 423, 429, 503})
MAX_FAILURES = 10
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0


@dataclass(frozen=True)
class ResumableUpload:
    """One file on its way; `on_sent` is told how many of its bytes the server has or is being sent."""

    client: Client
    file: Path
    id: str
    on_sent: Callable[[int], object]

    @property
    def _location(self) -> str:
        return f"/v1/uploads/{self.id}"

    def send(self) -> dict[str, Any]:
        """Send what is missing, and return the data set. Raises: ClientError, Unreachable."""
        num_failures, furthest = 0, -1
        while True:
            try:
                offset = self._offset()
                if offset > furthest:
                    num_failures, furthest = 0, offset
                if offset < self.file.stat().st_size:
                    self._send_from(offset)
                if (dataset_id := self.client.get(self._location)["dataset_id"]) is not None:
                    dataset: dict[str, Any] = self.client.get(f"/v1/datasets/{dataset_id}")
                    return dataset
                raise Unreachable("The server has the whole file, but does not make it a data set.")
            except (ClientError, Unreachable) as error:
                num_failures += 1
                is_final = isinstance(error, ClientError) and error.status not in PASSING
                if is_final or num_failures > MAX_FAILURES:
                    raise
            time.sleep(min(FIRST_PAUSE_SECONDS * 2 ** (num_failures - 1), LONGEST_PAUSE_SECONDS))

    def _offset(self) -> int:
        # Not by HEAD, as other clients ask: its answer has no body that says why there is no such upload.
        return int(self.client.get(self._location)["offset_bytes"])

    def _send_from(self, offset: int) -> None:
        with self.file.open("rb") as file:
            file.seek(offset)
            headers = TUS | {
                "content-type": "application/offset+octet-stream",
                "upload-offset": str(offset),
                "content-length": str(self.file.stat().st_size - offset),
            }
            self.client.request(
                "PATCH",
                self._location,
                content=self._pieces(file, offset),
                headers=headers,
                timeout=UPLOAD_TIMEOUT_SECONDS,
            )

    def _pieces(self, file: BinaryIO, offset: int) -> Iterator[bytes]:
        self.on_sent(offset)
        while piece := file.read(CHUNK_BYTES):
            yield piece
            offset += len(piece)
            self.on_sent(offset)


def announce(client: Client, file: Path, name: str | None) -> str:
    """The id of a new upload of a file. Raises: ClientError, Unreachable, OSError."""
    metadata = {
        "filename": file.name,
        "filetype": MEDIA_TYPES.get(file.suffix.lower(), "application/octet-stream"),
        "name": file.stem if name is None else name,
    }
    pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
    headers = TUS | {"upload-length": str(file.stat().st_size), "upload-metadata": pairs}
    return str(client.request("POST", "/v1/uploads", headers=headers).json()["id"])
