"""Batch predictions: a data set in, a data set of answers out."""

from __future__ import annotations

from fastapi import Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse

from app.jobs import batch_service
from app.jobs.batch_schemas import PredictionCreate
from app.jobs.routes import JobId, after_wait, show
from app.jobs.schemas import JobRead
from app.storage import Storage
from app.web.downloads import RESPONSES, Download
from app.web.idempotency import Create
from app.web.paging import Wait
from app.web.routing import Caller, allow, router

routes = router("predictions")


@routes.post("/v1/predictions", status_code=201, response_model=JobRead)
@allow("jobs:write")
async def predict_dataset(
    request: Request, body: PredictionCreate, caller: Caller, create: Create, wait: Wait
) -> Response:
    """Answer all rows of a data set in a job; the job's `prediction` names the data set with the answers."""

    def make(session: Session) -> tuple[str, JobRead]:
        row = batch_service.submit(session, caller, body, request.app.state.settings)
        return f"/v1/jobs/{row.id}", show(row)

    return await after_wait(request, await create.run(await request.body(), make), wait)


@routes.get("/v1/jobs/{job_id}/rejected", response_class=FileResponse, responses=RESPONSES)
@allow("read")
async def download_rejected(request: Request, job_id: JobId, caller: Caller) -> Download:
    """Which rows a batch prediction could not answer, and why: a JSON object a line; 404 until it has succeeded."""

    def find() -> str:
        with request.app.state.read_sessions.begin() as session:
            return batch_service.rejected(session, caller, job_id)

    sha256 = await run_in_threadpool(find)
    storage: Storage = request.app.state.storage
    path = await run_in_threadpool(storage.verified_path, sha256)
    return Download(path, filename=f"{job_id}-rejected.jsonl", sha256=sha256)
