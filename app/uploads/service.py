"""Uploads as rows: announced, advanced, complete, expired; an offset is stored after its bytes are durable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.column_types import now
from app.datasets.names import check_name, name_of_file, printable
from app.datasets.options import ReadOptions, read_options
from app.errors import NotFound
from app.principal import Principal
from app.settings import Settings
from app.tables import UploadRow

KNOWN_KEYS = ("name", "filename", "filetype")


def create(
    session: Session,
    principal: Principal,
    upload_id: str,
    metadata: dict[str, str],
    size_bytes: int,
    settings: Settings,
) -> UploadRow:
    """Announce an upload whose empty file exists already."""
    row = UploadRow(
        id=upload_id,
        project_id=principal.project_id,
        key_id=principal.key_id,
        name=dataset_name(metadata),
        filename=printable(metadata.get("filename")),
        content_type=printable(metadata.get("filetype")),
        options={key: printable(value) for key, value in metadata.items() if key not in KNOWN_KEYS},
        size_bytes=size_bytes,
        offset_bytes=0,
        status="open",
        created_at=now(),
        expires_at=_expiry(settings),
    )
    session.add(row)
    session.flush()
    return row


def dataset_name(metadata: dict[str, str]) -> str:
    """The name that the data set will have. Raises: Invalid."""
    pointer = "header:upload-metadata"
    if "name" in metadata:
        return check_name(metadata["name"], pointer=pointer)
    return name_of_file(metadata.get("filename"), pointer=pointer)


def options(metadata: dict[str, str]) -> ReadOptions:
    """How the file is written, as far as its metadata says. Raises: Invalid."""
    return read_options(metadata, pointer="header:upload-metadata")


def get(session: Session, principal: Principal, upload_id: str) -> UploadRow:
    """An upload of the caller's project. Raises: NotFound, once it has expired, too."""
    row = session.get(UploadRow, upload_id)
    if row is None or row.project_id != principal.project_id or row.expires_at < now():
        raise NotFound("upload", upload_id)
    return row


def advance(session: Session, row: UploadRow, offset_bytes: int, settings: Settings) -> None:
    """Acknowledge bytes that are durable."""
    stored = session.get_one(UploadRow, row.id)
    stored.offset_bytes = row.offset_bytes = offset_bytes
    stored.expires_at = row.expires_at = _expiry(settings)


def complete(session: Session, row: UploadRow, dataset_id: str) -> None:
    """Say which data set a whole upload became."""
    stored = session.get_one(UploadRow, row.id)
    stored.status = row.status = "complete"
    stored.dataset_id = row.dataset_id = dataset_id


def remove(session: Session, row: UploadRow) -> None:
    """Forget an upload; its file goes after the transaction."""
    session.delete(session.get_one(UploadRow, row.id))


def whole(session: Session) -> Sequence[UploadRow]:
    """Uploads whose bytes are all there, but which are no data set yet: a server was killed in between."""
    query = select(UploadRow).where(UploadRow.status == "open", UploadRow.offset_bytes == UploadRow.size_bytes)
    return session.scalars(query).all()


def expired(session: Session) -> Sequence[UploadRow]:
    """Uploads that nobody went on with."""
    return session.scalars(select(UploadRow).where(UploadRow.expires_at < now())).all()


def open_ids(session: Session) -> set[str]:
    """The uploads that have a file."""
    return set(session.scalars(select(UploadRow.id).where(UploadRow.status == "open")))


def _expiry(settings: Settings) -> datetime:
    return now() + timedelta(seconds=settings.upload_expiry_seconds)
