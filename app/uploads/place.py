"""Where uploads become data sets: bytes appended and acknowledged, whole files handed over, what expired removed."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from dataclasses import dataclass, replace

from app.database import Sessions
from app.datasets import intake
from app.datasets import service as datasets
from app.datasets.receive import HEAD_BYTES, Received
from app.errors import Corrupt, Invalid, Locked, MaasError, NotFound, TooLarge, UnsupportedMedia
from app.ids import new_id
from app.principal import Principal
from app.settings import Settings
from app.storage import Storage
from app.streams import Block
from app.tables import UploadRow
from app.uploads import service
from app.uploads.headers import Checksum
from app.uploads.part import Part, Parts

log = logging.getLogger("maas")
ACKNOWLEDGE_BYTES = 1 << 26
ACKNOWLEDGE_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """What uploads need: the database, the store, and a folder for what is not whole yet."""

    settings: Settings
    sessions: Sessions
    read_sessions: Sessions
    storage: Storage

    @property
    def parts(self) -> Parts:
        """The files of uploads that are not whole."""
        return Parts(self.settings.data_dir / "uploads")

    def create(self, principal: Principal, metadata: dict[str, str], size_bytes: int) -> UploadRow:
        """Announce an upload. Raises: Invalid, StorageFull."""
        service.dataset_name(metadata)
        service.options(metadata)
        upload_id = new_id("upl")
        # File first, then row: a crash in between leaves an empty file that `sweep` removes.
        self.parts.create(upload_id)
        with self.sessions.begin() as session:
            return service.create(session, principal, upload_id, metadata, size_bytes, self.settings)

    def get(self, principal: Principal, upload_id: str) -> UploadRow:
        """An upload of the caller's project. Raises: NotFound."""
        with self.read_sessions.begin() as session:
            return service.get(session, principal, upload_id)

    def remove(self, row: UploadRow) -> None:
        """Drop an upload with its bytes. Raises: Locked while a request writes to it."""
        with self.parts.open(row.id):
            self._drop(row)

    def forget(self, principal: Principal, row: UploadRow) -> None:
        """Drop an upload that may have been dropped already."""
        with contextlib.suppress(NotFound):
            self.remove(self.get(principal, row.id))

    def finish(self, principal: Principal, row: UploadRow, part: Part) -> None:
        """Make a whole upload a data set that is `processing`; may be repeated after a crash at any point.

        Raises: Invalid, UnsupportedMedia when it is nothing that is read here, and the upload is dropped; Unavailable.
        """
        try:
            received = Received(row.content_type, row.filename, part.head(HEAD_BYTES))
            draft = intake.draft(row.name, received, service.options(row.options))
        except (Invalid, UnsupportedMedia):
            self._drop(row)
            raise
        with self.storage.holding():
            # The file keeps its own name until the row is committed, so a crash in between loses nothing.
            blob = self.storage.adopt(self.parts.path(row.id))
            draft = replace(draft, sent=blob, inputs={**draft.inputs, "source": blob.sha256})
            with self.sessions.begin() as session:
                dataset = datasets.accept(session, principal, draft, self.settings)
                service.complete(session, row, dataset.id)
        self.parts.remove(row.id)

    def finish_if_whole(self, principal: Principal, row: UploadRow) -> UploadRow:
        """The upload, complete if a killed server left only that to be done and nobody else is doing it."""
        if row.status == "open" and row.offset_bytes == row.size_bytes:
            with contextlib.suppress(MaasError), self.parts.open(row.id) as part:
                row = self.get(principal, row.id)
                if part is not None and row.status == "open":
                    self.finish(principal, row, part)
        return self.get(principal, row.id)

    def sweep(self, *, grace_seconds: float) -> int:
        """Finish what a killed server left whole, remove what expired; the number of files removed."""
        with self.read_sessions.begin() as session:
            whole, expired = service.whole(session), service.expired(session)
        for row in whole:
            with contextlib.suppress(NotFound):
                self.finish_if_whole(Principal(row.project_id, row.key_id, frozenset()), row)
        for row in expired:
            with contextlib.suppress(Locked):
                self.remove(row)
        with self.read_sessions.begin() as session:
            known = service.open_ids(session)
        return len(expired) + self.parts.remove_strays(known, grace_seconds=grace_seconds)

    def _drop(self, row: UploadRow) -> None:
        with self.sessions.begin() as session:
            service.remove(session, row)
        self.parts.remove(row.id)


class Continuation:
    """One request that goes on with an upload: its bytes are written, made durable and acknowledged as they come.

    Bytes under a checksum are acknowledged when all of them have come and are those that were announced.
    """

    def __init__(self, place: Place, row: UploadRow, part: Part | None, checksum: Checksum | None) -> None:
        if part is None:
            raise Corrupt("The bytes of this upload are gone; upload the file again.")
        part.cut(row.offset_bytes)
        self.row = row
        self.part = part
        self._place = place
        self._checksum = checksum
        self._digest = hashlib.new(checksum.algorithm) if checksum else None
        self._offset_bytes = row.offset_bytes
        self._acknowledged_at = time.monotonic()

    def write(self, block: Block) -> None:
        """Append bytes. Raises: TooLarge, StorageFull."""
        for piece in block:
            if self._offset_bytes + len(piece) > self.row.size_bytes:
                raise TooLarge(f"More bytes came than the {self.row.size_bytes} that Upload-Length announced.")
            self.part.write(piece)
            self._offset_bytes += len(piece)
            if self._digest is not None:
                self._digest.update(piece)
        num_pending = self._offset_bytes - self.row.offset_bytes
        is_due = num_pending >= ACKNOWLEDGE_BYTES or time.monotonic() - self._acknowledged_at >= ACKNOWLEDGE_SECONDS
        if self._digest is None and is_due:
            self._acknowledge()

    def end(self) -> None:
        """Acknowledge all that came. Raises: ChecksumMismatch, Invalid, StorageFull."""
        if self._checksum is not None and self._digest is not None:
            self._checksum.check(self._digest.digest())
        self._acknowledge()

    def _acknowledge(self) -> None:
        if self._offset_bytes > self.row.offset_bytes:
            self.part.sync()
            with self._place.sessions.begin() as session:
                service.advance(session, self.row, self._offset_bytes, self._place.settings)
        self._acknowledged_at = time.monotonic()
