"""What is in a data set: its profile, its rows, the bytes as they were sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Annotated, Literal

import orjson
from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse

from app import blocks
from app.datasets import making, service
from app.datasets.asking import questions
from app.datasets.asking.conditions import parse_columns, parse_conditions, parse_sort
from app.datasets.asking.exports import Exported, Exports, Form
from app.datasets.asking.questions import Asking, RowsQuery, Table
from app.datasets.asking.schemas import DiffRead, LeaksRead
from app.datasets.changing.schemas import AnonymityCreate, AnonymityRead
from app.datasets.rows import read_rows
from app.datasets.schemas import ProfileRead, RowsRead
from app.datasets.version_routes import DatasetId, find_ready
from app.settings import Settings
from app.storage import Storage
from app.tables import DatasetRow
from app.web.downloads import RESPONSES, Download
from app.web.routing import Caller, InSession, allow, router

routes = router("datasets")
MAX_QUERY_CHARACTERS = 20_000


@routes.get("/v1/datasets/{dataset_id}/profile", response_model=ProfileRead)
@allow("read")
def get_dataset_profile(dataset_id: DatasetId, caller: Caller, session: InSession) -> Response:
    """What is in a data set: figures per column, and warnings."""
    row = service.get_ready(session, caller, dataset_id)
    told = {"object": "profile", "dataset": row.id, "warnings": [], **row.profile}
    shown = told | {"num_rows": row.num_rows, "num_columns": len(row.columns), "columns": row.columns}
    # A summary that was stored is sent as it is: models of thousands of columns would take longer than all else.
    return Response(orjson.dumps(shown), media_type="application/json")


@routes.get("/v1/datasets/{dataset_id}/rows")
@allow("read")
async def list_dataset_rows(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    offset: Annotated[int, Query(ge=0, le=10**12, description="Rows to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most rows to show.")] = 20,
    conditions: Annotated[
        list[str] | None,
        Query(
            alias="filter",
            max_length=MAX_QUERY_CHARACTERS,
            description="Only rows that satisfy all conditions, such as `age>=30`, `name contains ann`, "
            "`city in (Oslo|Bergen)`, `score missing`, or a JSON object with column, op and value.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        Query(max_length=MAX_QUERY_CHARACTERS, description="Columns to sort by, such as `-age,name`."),
    ] = None,
    columns: Annotated[
        str | None, Query(max_length=MAX_QUERY_CHARACTERS, description="Only these columns, separated by commas.")
    ] = None,
) -> RowsRead:
    """Rows of a data set in their order, or filtered and sorted, as typed values."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    types = {column["name"]: column["type"] for column in row.columns}
    query = RowsQuery(
        conditions=parse_conditions(conditions or (), types),
        sort=parse_sort(sort, types),
        shown=parse_columns(columns, types),
        offset=offset,
        limit=limit,
    )
    data, num_rows = await run_in_threadpool(_rows, request, row, query)
    return RowsRead(dataset=row.id, offset=offset, num_rows=num_rows, data=data)


@routes.get("/v1/datasets/{dataset_id}/content", response_class=FileResponse, responses=RESPONSES)
@allow("datasets:write")
async def download_dataset(request: Request, dataset_id: DatasetId, caller: Caller) -> Download:
    """The bytes exactly as they were sent, checked against their digest first."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    storage: Storage = request.app.state.storage
    path = await run_in_threadpool(storage.verified_path, row.sha256)
    compression = {"gzip": ".gz", "zstd": ".zst"}.get(row.source.get("compression", ""), "")
    return Download(path, filename=f"{row.name}-{row.version}.{row.format}{compression}", sha256=row.sha256)


@routes.get("/v1/datasets/{dataset_id}/export", response_class=FileResponse, responses=RESPONSES)
@allow("datasets:write")
async def export_dataset(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    format: Annotated[Literal["csv", "ndjson", "parquet"], Query(description="How the table is written.")] = "csv",
    formula_safe: Annotated[
        bool, Query(description="CSV: an apostrophe before text that a spreadsheet would run as a formula.")
    ] = True,
) -> Download:
    """The typed table as a file; it is the same file each time, so a broken download can be taken up again."""
    row = await run_in_threadpool(find_ready, request, caller, dataset_id)
    form = None if format == "parquet" else Form(format, formula_safe)
    exported = await run_in_threadpool(_export, request, row, form)
    return Download(exported.path, filename=f"{row.name}-{row.version}.{format}", sha256=exported.sha256)


@routes.get("/v1/datasets/{dataset_id}/diff")
@allow("read")
def compare_datasets(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    to: Annotated[str, Query(max_length=64, description="Id of the other data set.")],
) -> DiffRead:
    """What another data set has that this one has not, and how far the values of each column have shifted."""
    base, other = find_ready(request, caller, dataset_id), find_ready(request, caller, to)
    storage: Storage = request.app.state.storage
    old, new = (Table(storage.verified_path(row.parquet_sha256), row.columns) for row in (base, other))
    with _asking(request, base, other) as asking:
        return DiffRead(base=base.id, other=other.id, **questions.difference(old, new, asking))


@routes.get("/v1/datasets/{dataset_id}/leaks")
@allow("read")
def find_dataset_leaks(
    request: Request,
    dataset_id: DatasetId,
    caller: Caller,
    target: Annotated[str, Query(max_length=1000, description="The column that is to be predicted.")],
) -> LeaksRead:
    """Which columns alone tell the target so well that they may have been made from it."""
    row = find_ready(request, caller, dataset_id)
    parquet = request.app.state.storage.verified_path(row.parquet_sha256)
    with _asking(request, row) as asking:
        return LeaksRead(dataset=row.id, target=target, **questions.leaks(parquet, row.columns, target, asking))


@routes.post("/v1/datasets/{dataset_id}/anonymity")
@allow("read")
def measure_anonymity(request: Request, dataset_id: DatasetId, body: AnonymityCreate, caller: Caller) -> AnonymityRead:
    """How well rows hide among others that have the same quasi-identifiers."""
    row = find_ready(request, caller, dataset_id)
    parquet = request.app.state.storage.verified_path(row.parquet_sha256)
    with _asking(request, row) as asking:
        found = questions.anonymity(parquet, row.columns, body.quasi_identifiers, body.sensitive, asking)
    return AnonymityRead(dataset=row.id, **(body.model_dump() | found))


def _rows(request: Request, row: DatasetRow, query: RowsQuery) -> tuple[list[dict[str, object]], int]:
    storage: Storage = request.app.state.storage
    if not query.conditions and not query.sort:
        # A plain page is read here: only the blocks that it lies in are looked at.
        with blocks.verified(storage, row.parquet_sha256, row.blocks) as parquet:
            return read_rows(parquet, query.shown, offset=query.offset, limit=query.limit), row.num_rows
    parquet = storage.verified_path(row.parquet_sha256)
    with _asking(request, row) as asking:
        return questions.find_rows(parquet, row.columns, query, asking)


def _export(request: Request, row: DatasetRow, form: Form | None) -> Exported:
    storage: Storage = request.app.state.storage
    parquet = storage.verified_path(row.parquet_sha256)
    if form is None:
        return Exported(parquet, row.parquet_sha256)
    exports: Exports = request.app.state.exports
    settings: Settings = request.app.state.settings
    limits = making.limits(settings, row.parquet_size_bytes)

    def write(folder: FilePath) -> FilePath:
        return questions.export(parquet, row.columns, form, Asking(folder, limits, settings.sandbox))

    return exports.get(row.parquet_sha256, form, write)


@contextmanager
def _asking(request: Request, *rows: DatasetRow) -> Iterator[Asking]:
    """A folder and limits for a child that reads these tables."""
    settings: Settings = request.app.state.settings
    storage: Storage = request.app.state.storage
    size_bytes = sum(row.parquet_size_bytes for row in rows)
    with storage.work_folder() as folder:
        yield Asking(folder, making.limits(settings, size_bytes), settings.sandbox)
