"""/v1/datasets: upload, look into, download, delete."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated

from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.datasets import lineage, service
from app.datasets.intake import draft
from app.datasets.names import check_name, name_of_file
from app.datasets.options import UploadOptions
from app.datasets.receive import receive, receiving
from app.datasets.schemas import DatasetRead, LineageRead, Relative
from app.datasets.version_routes import UPLOAD, DatasetId, Making, show, wait_until_read
from app.garbage import is_referenced
from app.storage import Storage
from app.tables import DatasetRow
from app.web.idempotency import Create
from app.web.paging import Page, Paging, Wait, id_after, page
from app.web.routing import Caller, InSession, allow, router

routes = router("datasets")


@routes.post("/v1/datasets", status_code=201, response_model=DatasetRead, openapi_extra=UPLOAD)
@allow("datasets:write", body="upload")
async def upload_dataset(
    request: Request,
    create: Create,
    caller: Caller,
    wait: Wait,
    options: Annotated[UploadOptions, Query()],
) -> Response:
    """Upload a table: CSV, TSV, JSON, Parquet, Excel or NumPy; the same name again makes a new version."""
    storage: Storage = request.app.state.storage
    if options.name is not None:
        check_name(options.name)
    async with receiving(storage) as incoming:
        started = time.perf_counter()
        received = await receive(request, incoming)
        receive_ms = 1000 * (time.perf_counter() - started)
        chosen = options.name or name_of_file(received.filename)
        fingerprint = f"{chosen}\n{incoming.blob.sha256}\n{received}\n{options}".encode()
        if (replay := await create.replay(fingerprint)) is not None:
            return replay
        making = Making(request, create, fingerprint, draft(chosen, received, options), incoming)
        answer = await making.answer(size_bytes=incoming.size_bytes, wait=wait)
        answer.headers["server-timing"] = f"receive;dur={receive_ms:.1f}"
        return answer


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
    return page([show(session, row) for row in rows], cursor)


@routes.get("/v1/datasets/{dataset_id}")
@allow("read")
async def get_dataset(request: Request, dataset_id: DatasetId, caller: Caller, wait: Wait) -> DatasetRead:
    """One data set with its typed columns; with `Prefer: wait=n` the answer waits up to n seconds for its table."""
    return await wait_until_read(request, caller, dataset_id, seconds=wait)


@routes.get("/v1/datasets/{dataset_id}/lineage")
@allow("read")
def get_dataset_lineage(dataset_id: DatasetId, caller: Caller, session: InSession) -> LineageRead:
    """What a data set was made from, and what was made from it: versions, jobs, models."""
    row = service.get(session, caller, dataset_id)
    using = lineage.uses(session, row)
    return LineageRead(
        dataset=row.id,
        ancestors=[_relative(each) for each in lineage.ancestors(session, row)],
        descendants=[_relative(each) for each in lineage.descendants(session, row)],
        jobs=[job.id for job in using.jobs],
        models=[f"{name}@{version.version}" for name, version in using.versions],
    )


@routes.delete("/v1/datasets/{dataset_id}", status_code=204)
@allow("datasets:write")
async def delete_dataset(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    cascade: Annotated[bool, Query(description="Delete the jobs and models made from it, too.")] = False,
) -> Response:
    """Delete a data set and its bytes; 409 lists what was made from it, unless `cascade` deletes that, too."""
    await run_in_threadpool(_delete, request, caller, dataset_id, cascade)
    return Response(status_code=204)


def _delete(request: Request, caller: Caller, dataset_id: str, cascade: bool) -> None:
    state = request.app.state
    with state.sessions.begin() as session:
        digests = lineage.delete(session, caller, dataset_id, cascade=cascade)
    # Rows first, then bytes; another version may hold the same ones.
    with state.read_sessions.begin() as session:
        state.storage.remove(digests, partial(is_referenced, session))
        for sha256 in digests:
            if not is_referenced(session, sha256):
                state.exports.forget(sha256)


def _relative(row: DatasetRow) -> Relative:
    operation = row.origin.get("operation", "upload")
    return Relative(id=row.id, name=row.name, version=row.version, status=row.status, operation=operation)
