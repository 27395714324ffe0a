"""New versions from versions that exist, and the one way in which every version is made and answered for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app import audit
from app.datasets import changes, lineage, making, overrides, rows, service
from app.datasets.changing.schemas import EraseCreate, TransformCreate
from app.datasets.options import ReadOptions
from app.datasets.receive import receive, receiving
from app.datasets.schemas import ColumnRead, DatasetPatch, DatasetRead, ErasedRead
from app.datasets.service import Draft
from app.durable import Incoming
from app.principal import Principal
from app.settings import Settings
from app.storage import Storage
from app.tables import DatasetRow
from app.web.idempotency import Create, Creation
from app.web.paging import Wait
from app.web.routing import Caller, allow, router

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
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
                "schema": {"type": "string", "format": "binary"}
            },
            "application/x-npy": {"schema": {"type": "string", "format": "binary"}},
            "application/gzip": {"schema": {"type": "string", "format": "binary"}},
            "application/zstd": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}
POLL_SECONDS = 0.1
routes = router("datasets")


@dataclass(frozen=True)
class Making:
    """One request for a new version: made at once when its inputs are small, by a job otherwise."""

    request: Request
    create: Creation
    fingerprint: bytes
    draft: Draft
    incoming: Incoming | None = None
    shown: Callable[[Session, DatasetRow], DatasetRead] | None = None

    async def answer(self, *, size_bytes: int, wait: float) -> Response:
        """201 with the version; a large one is `processing`, unless it got ready within `wait` seconds."""
        limit_bytes = self._settings.inline_ingest_bytes
        if size_bytes <= limit_bytes and "respond-async" not in self.request.headers.get("prefer", ""):
            return await self.answer_now()
        answer = await run_in_threadpool(self._make_later)
        return await self._after_wait(answer, wait) if wait else answer

    async def answer_now(self) -> Response:
        """201 with the version, however long it takes to make."""
        answer = await run_in_threadpool(self._make_now)
        # Whoever has made a version looks at its rows next.
        asyncio.get_running_loop().run_in_executor(None, rows.prepare)
        return answer

    @property
    def _settings(self) -> Settings:
        settings: Settings = self.request.app.state.settings
        return settings

    @property
    def _storage(self) -> Storage:
        storage: Storage = self.request.app.state.storage
        return storage

    def _make_now(self) -> Response:
        storage, draft = self._storage, self.draft
        files: dict[str, FilePath] = making.verified(storage, draft.inputs)
        if self.incoming is not None:
            files["source"] = self.incoming.path
        with storage.work_folder() as folder:
            place = making.Place(storage, self._settings, folder)
            made = making.make(draft.order, files, place, project_id=self.create.principal.project_id)
            # File first, then row: a crash in between leaves bytes that nothing names, and the sweep removes them.
            with storage.holding():
                table = making.keep(made, storage)
                if self.incoming is not None and draft.is_upload:
                    draft = replace(draft, sent=storage.keep(self.incoming))
                return self._create(lambda session, who: service.register(session, who, draft, table))

    def _make_later(self) -> Response:
        storage, draft = self._storage, self.draft
        with storage.holding():
            if self.incoming is not None:
                blob = storage.keep(self.incoming)
                inputs = draft.inputs | {"source": blob.sha256}
                draft = replace(draft, sent=blob if draft.is_upload else None, inputs=inputs)
            return self._create(lambda session, who: service.accept(session, who, draft, self._settings))

    def _create(self, insert: Any) -> Response:
        def make(session: Session) -> tuple[str, DatasetRead]:
            row: DatasetRow = insert(session, self.create.principal)
            return f"/v1/datasets/{row.id}", (self.shown or show)(session, row)

        return self.create.make(self.fingerprint, make)

    async def _after_wait(self, answer: Response, wait: float) -> Response:
        dataset_id = answer.headers["location"].rpartition("/")[2]
        shown = await wait_until_read(self.request, self.create.principal, dataset_id, seconds=wait)
        answer.body = shown.model_dump_json().encode()
        answer.headers["content-length"] = str(len(answer.body))
        return answer


async def wait_until_read(request: Request, caller: Principal, dataset_id: str, *, seconds: float) -> DatasetRead:
    """The data set once it has a table or never will, or as it is after `seconds`. Raises: NotFound."""
    deadline = time.monotonic() + seconds
    while True:
        shown = await run_in_threadpool(_look, request, caller, dataset_id)
        left = deadline - time.monotonic()
        if shown.status != "processing" or left <= 0:
            return shown
        await asyncio.sleep(min(POLL_SECONDS, left))


def _look(request: Request, caller: Principal, dataset_id: str) -> DatasetRead:
    with request.app.state.read_sessions.begin() as session:
        return show(session, service.get(session, caller, dataset_id))


@routes.patch("/v1/datasets/{dataset_id}", status_code=201, response_model=DatasetRead)
@allow("datasets:write")
async def patch_dataset(
    request: Request, dataset_id: DatasetId, body: DatasetPatch, caller: Caller, create: Create, wait: Wait
) -> Response:
    """Read columns as other types, or under other policies: a new version of the same data."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    overrides.check(row, body)
    draft = overrides.draft(row, body)
    fingerprint = _fingerprint(dataset_id, await request.body())
    if overrides.changed_types(row, body):
        making = Making(request, create, fingerprint, draft)
        return await making.answer(size_bytes=row.size_bytes, wait=wait)

    def make(session: Session) -> tuple[str, DatasetRead]:
        # Its bytes are named by a row all the time: whoever deletes the old version waits for this transaction.
        audit.take_turn(session, caller.project_id)
        service.get_ready(session, caller, dataset_id)
        new = service.register(session, caller, draft, overrides.same_table(row))
        return f"/v1/datasets/{new.id}", show(session, new)

    return await create.run(fingerprint, make)


@routes.post("/v1/datasets/{dataset_id}/transform", status_code=201, response_model=DatasetRead)
@allow("datasets:write")
async def transform_dataset(
    request: Request, dataset_id: DatasetId, body: TransformCreate, caller: Caller, create: Create, wait: Wait
) -> Response:
    """Clean and de-identify in recorded steps: a new version, with what each step did."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    asked = body.model_dump(mode="json")
    draft = changes.transform(row, asked["steps"], asked["quasi_identifiers"])
    making = Making(request, create, _fingerprint(dataset_id, await request.body()), draft)
    return await making.answer(size_bytes=row.parquet_size_bytes, wait=wait)


@routes.post("/v1/datasets/{dataset_id}/append", status_code=201, response_model=DatasetRead, openapi_extra=UPLOAD)
@allow("datasets:write", body="upload")
async def append_to_dataset(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    create: Create,
    wait: Wait,
    options: Annotated[ReadOptions, Query()],
) -> Response:
    """Add the rows of a file with the same columns: a new version with the old rows and the new ones."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    storage: Storage = request.app.state.storage
    async with receiving(storage) as incoming:
        received = await receive(request, incoming)
        fingerprint = _fingerprint(dataset_id, f"{incoming.blob.sha256}\n{received}\n{options}".encode())
        if (replay := await create.replay(fingerprint)) is not None:
            return replay
        making = Making(request, create, fingerprint, changes.append(row, received, options), incoming)
        return await making.answer(size_bytes=row.parquet_size_bytes + incoming.size_bytes, wait=wait)


@routes.post("/v1/datasets/{dataset_id}/erase", status_code=201, response_model=ErasedRead)
@allow("datasets:write")
async def erase_from_dataset(
    request: Request, dataset_id: DatasetId, body: EraseCreate, caller: Caller, create: Create
) -> Response:
    """Erase somebody's rows: a new version without them, and what still holds or has learned from them."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    draft = changes.erase(row, body.column, body.values)
    making = Making(request, create, _fingerprint(dataset_id, await request.body()), draft, shown=_show_erased)
    # Never a job: its record would hold whose rows these were.
    return await making.answer_now()


def _fingerprint(dataset_id: str, body: bytes) -> bytes:
    return f"{dataset_id}\n".encode() + body


def _show_erased(session: Session, row: DatasetRow) -> ErasedRead:
    earlier = lineage.ancestors(session, row)
    versions = [reference for each in earlier for reference in lineage.references(session, each)]
    return ErasedRead(
        **show(session, row).model_dump(),
        earlier_versions=[each.id for each in earlier],
        affected_models=versions,
    )


def find_ready(request: Request, caller: Principal, dataset_id: str) -> DatasetRow:
    """A data set of the caller's project that has a table. Raises: NotFound, Conflict."""
    with request.app.state.read_sessions.begin() as session:
        return service.get_ready(session, caller, dataset_id)


def show(session: Session, row: DatasetRow) -> DatasetRead:
    """A data set as clients see it."""
    job = service.ingest_job(session, row) if row.status != "ready" else None
    return DatasetRead(
        columns=[ColumnRead(**column) for column in row.columns],
        num_rows=row.num_rows if row.status == "ready" else None,
        parent=row.parent_id,
        job=job.id if job else None,
        progress=job.progress if job else None,
        **{name: getattr(row, name) for name in COPIED},
    )


COPIED = (
    "id",
    "name",
    "version",
    "status",
    "format",
    "sha256",
    "size_bytes",
    "source",
    "origin",
    "error",
    "created_at",
)
