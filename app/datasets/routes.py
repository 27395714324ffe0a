"""/v1/datasets: upload, look into, download, delete."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse

from app.datasets import service
from app.datasets.ingest import Ingested, IngestLimits, ingest, sniff_format
from app.datasets.receive import Received, receive
from app.datasets.rows import read_rows
from app.datasets.schemas import ColumnRead, DatasetRead, ProfileRead, RowsRead
from app.errors import Invalid
from app.settings import Settings
from app.storage import Incoming, Storage
from app.tables import DatasetRow
from app.web.downloads import RESPONSES, Download
from app.web.idempotency import Create
from app.web.paging import Page, Paging, id_after, page
from app.web.routing import Caller, InSession, allow, router

routes = router("datasets")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DatasetId = Annotated[str, Path(max_length=64, description="Id of a data set.")]
UPLOAD = {
    "requestBody": {
        "required": True,
        "description": "The table itself, or a form with the table as its part `file`.",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "species,bill_length_mm\nAdelie,39.1\n"},
            "text/tab-separated-values": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}


@routes.post("/v1/datasets", status_code=201, response_model=DatasetRead, openapi_extra=UPLOAD)
@allow("datasets:write", body="upload")
async def upload_dataset(
    request: Request,
    create: Create,
    caller: Caller,
    name: Annotated[str | None, Query(max_length=128, description="Name; default: the name of the file.")] = None,
) -> Response:
    """Upload a table: CSV, TSV, JSON Lines, a JSON array or Parquet; the same name again makes a new version."""
    settings: Settings = request.app.state.settings
    storage: Storage = request.app.state.storage
    if name is not None:
        check_name(name)
    with storage.receive() as incoming:
        received = await receive(request, incoming)
        chosen = name or check_name(FilePath(received.filename or "").stem)
        fingerprint = f"{chosen}\n{received.content_type}\n{incoming.blob.sha256}".encode()
        if (replay := await create.replay(fingerprint)) is not None:
            return replay
        upload = await run_in_threadpool(_read, chosen, received, incoming, storage, settings)

        def make(session: Session) -> tuple[str, DatasetRead]:
            row = service.register(session, caller, upload)
            return f"/v1/datasets/{row.id}", show(row)

        return await create.run(fingerprint, make)


@routes.get("/v1/datasets")
@allow("read")
def list_datasets(
    caller: Caller,
    session: InSession,
    cursor: Paging,
    name: Annotated[str | None, Query(max_length=128, description="Only versions of this name.")] = None,
) -> Page[DatasetRead]:
    """The data sets of the project, newest first."""
    after = id_after(cursor, r"ds_[0-9a-f]{32}")
    rows = service.list_page(session, caller, limit=cursor.limit, after=after, name=name)
    return page([show(row) for row in rows], cursor)


@routes.get("/v1/datasets/{dataset_id}")
@allow("read")
def get_dataset(dataset_id: DatasetId, caller: Caller, session: InSession) -> DatasetRead:
    """One data set with its typed columns."""
    return show(service.get(session, caller, dataset_id))


@routes.get("/v1/datasets/{dataset_id}/profile")
@allow("read")
def get_dataset_profile(dataset_id: DatasetId, caller: Caller, session: InSession) -> ProfileRead:
    """What is in a data set: figures per column, and warnings."""
    row = service.get(session, caller, dataset_id)
    known = {"num_rows": row.num_rows, "num_columns": len(row.columns), "warnings": [], **row.profile}
    return ProfileRead(dataset=row.id, columns=[ColumnRead(**column) for column in row.columns], **known)


@routes.get("/v1/datasets/{dataset_id}/rows")
@allow("read")
async def list_dataset_rows(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    offset: Annotated[int, Query(ge=0, le=10**12, description="Rows to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most rows to show.")] = 20,
) -> RowsRead:
    """Rows of a data set in their order, as typed values."""
    row = await run_in_threadpool(_find, request, caller, dataset_id)
    storage: Storage = request.app.state.storage
    path = await run_in_threadpool(storage.verified_path, row.parquet_sha256)
    data = await run_in_threadpool(read_rows, path, None, offset=offset, limit=limit)
    return RowsRead(dataset=row.id, offset=offset, num_rows=row.num_rows, data=data)


@routes.get("/v1/datasets/{dataset_id}/content", response_class=FileResponse, responses=RESPONSES)
@allow("datasets:write")
async def download_dataset(request: Request, dataset_id: DatasetId, caller: Caller) -> Download:
    """The bytes exactly as they were sent, checked against their digest first."""
    row = await run_in_threadpool(_find, request, caller, dataset_id)
    storage: Storage = request.app.state.storage
    path = await run_in_threadpool(storage.verified_path, row.sha256)
    return Download(path, filename=f"{row.name}-{row.version}.{row.format}", sha256=row.sha256)


@routes.delete("/v1/datasets/{dataset_id}", status_code=204)
@allow("datasets:write")
def delete_dataset(dataset_id: DatasetId, caller: Caller, session: InSession) -> None:
    """Delete a data set that no job or model was made from."""
    service.delete(session, caller, dataset_id)


def check_name(name: str) -> str:
    """The name, if it is one. Raises: Invalid."""
    if not NAME.fullmatch(name):
        detail = "A name is 1 to 128 ASCII letters, digits, '.', '_' and '-', and begins with a letter or digit."
        raise Invalid(detail, errors=[{"pointer": "query:name", "detail": detail}])
    return name


def show(row: DatasetRow) -> DatasetRead:
    """A data set as clients see it."""
    return DatasetRead.model_validate(row, from_attributes=True)


def _find(request: Request, caller: Caller, dataset_id: str) -> DatasetRow:
    with request.app.state.read_sessions.begin() as session:
        row: DatasetRow = service.get(session, caller, dataset_id)
        return row


def _read(name: str, received: Received, incoming: Incoming, storage: Storage, settings: Settings) -> service.Upload:
    kind = sniff_format(received.content_type, received.filename, received.head)
    with storage.work_folder() as folder:
        table: Ingested = ingest(
            incoming.path, format=kind, folder=folder, limits=_limits(settings), sandbox=settings.sandbox
        )
        # File first, then row: a crash in between leaves bytes that nothing names, and the sweep removes them.
        parquet = storage.put_file(table.parquet)
    details: dict[str, Any] = dict(table.details)
    return service.Upload(
        name=name,
        format=kind,
        source=details | {"content_type": received.content_type, "filename": received.filename},
        parquet=parquet,
        sent=storage.keep(incoming),
        num_rows=table.num_rows,
        columns=table.columns,
        profile=table.profile,
    )


def _limits(settings: Settings) -> IngestLimits:
    return IngestLimits(
        wall_seconds=settings.ingest_wall_seconds,
        memory_bytes=settings.ingest_memory_bytes,
        decoded_bytes=settings.max_decoded_bytes,
        columns=settings.max_columns,
        cells=settings.max_cells,
    )
