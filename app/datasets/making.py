"""Make the table of a version where the bytes are: in a request for small ones, in a worker for large ones."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.blocks import block_digests
from app.datasets.ingest import Ingested, IngestLimits, carry_out
from app.datasets.process import Watch
from app.durable import Blob, write_once
from app.settings import Settings
from app.storage import Storage

SECRET_FILE = "pseudonyms.key"
SECRET_BYTES = 32
# However slow the machine is, this much of an input is read in a second.
SLOWEST_BYTES_PER_SECOND = 2**20


@dataclass(frozen=True)
class Place:
    """Where the work is done: the store its inputs come from, the settings that bound it, a folder of its own."""

    storage: Storage
    settings: Settings
    folder: Path


@dataclass(frozen=True)
class Table:
    """A stored table and what is in it."""

    parquet: Blob
    blocks: list[str]
    num_rows: int
    columns: list[dict[str, Any]]
    profile: dict[str, Any]
    details: dict[str, Any]


def make(
    order: Mapping[str, Any],
    inputs: Mapping[str, Path],
    place: Place,
    *,
    project_id: str,
    watch: Watch | None = None,
) -> Ingested:
    """Carry out an order (see `ingest`) on these files; blocks. Raises as `process.run`."""
    size_bytes = sum(path.stat().st_size for path in inputs.values())
    if order["operation"] == "transform":
        order = {**order, "secret": project_secret(place.settings, project_id).hex()}
    return carry_out(
        order,
        inputs,
        folder=place.folder,
        limits=limits(place.settings, size_bytes),
        sandbox=place.settings.sandbox,
        watch=watch,
    )


def verified(storage: Storage, digests: Mapping[str, str]) -> dict[str, Path]:
    """The files of blobs by the names that an order gives them. Raises: Corrupt."""
    return {name: storage.verified_path(sha256) for name, sha256 in digests.items()}


def keep(made: Ingested, storage: Storage) -> Table:
    """Store the table of an order durably."""
    parquet = storage.put_file(made.parquet)
    blocks = block_digests(storage.path(parquet.sha256))
    return Table(parquet, blocks, made.num_rows, made.columns, made.profile, made.details)


def limits(settings: Settings, size_bytes: int) -> IngestLimits:
    """What reading inputs of this size may cost."""
    wall_seconds = settings.ingest_wall_seconds + size_bytes / SLOWEST_BYTES_PER_SECOND
    return IngestLimits(
        wall_seconds=wall_seconds,
        cpu_seconds=int(2 * wall_seconds) + 1,
        memory_bytes=settings.ingest_memory_bytes,
        decoded_bytes=settings.max_decoded_bytes,
        columns=settings.max_columns,
        cells=settings.max_cells,
    )


def project_secret(settings: Settings, project_id: str) -> bytes:
    """The key of a project's pseudonyms: never the same in two projects, always the same in one."""
    if settings.pseudonym_secret is not None:
        secret = settings.pseudonym_secret.get_secret_value().encode()
    else:
        secret = write_once(settings.data_dir / SECRET_FILE, secrets.token_bytes(SECRET_BYTES))
    return hmac.new(secret, project_id.encode(), hashlib.sha256).digest()
