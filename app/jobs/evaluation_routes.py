"""Evaluations on request: of a version on any rows, and of two versions on the same."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Path, Response
from sqlalchemy.orm import Session
from starlette.requests import Request

from app.errors import NotFound
from app.jobs import evaluation_service, service
from app.jobs.evaluation_schemas import EvaluationCreate
from app.jobs.routes import JobId, after_wait, show
from app.jobs.schemas import JobRead
from app.models.evaluation_schemas import EvaluationRead
from app.web.idempotency import Create
from app.web.paging import Wait
from app.web.routing import Caller, allow, router

routes = router("evaluations")
ModelReference = Annotated[str, Path(max_length=200, description="`churn`, `churn@3` or `churn@champion`.")]


@routes.post("/v1/models/{reference}/evaluate", status_code=201, response_model=JobRead)
@allow("jobs:write")
async def evaluate_model(
    request: Request, reference: ModelReference, body: EvaluationCreate, caller: Caller, create: Create, wait: Wait
) -> Response:
    """Measure a version in a job, alone or against another one; `GET /v1/jobs/{job_id}/evaluation` has the result."""

    def make(session: Session) -> tuple[str, JobRead]:
        row = evaluation_service.submit(session, caller, reference, body, request.app.state.settings)
        return f"/v1/jobs/{row.id}", show(row)

    fingerprint = reference.encode() + b"\n" + await request.body()
    return await after_wait(request, await create.run(fingerprint, make), wait)


@routes.get("/v1/jobs/{job_id}/evaluation")
@allow("read")
def get_job_evaluation(request: Request, job_id: JobId, caller: Caller) -> EvaluationRead:
    """What an evaluation job found; 404 until it has succeeded."""
    with request.app.state.read_sessions.begin() as session:
        job = service.get(session, caller, job_id)
    if job.evaluation_sha256 is None:
        raise NotFound("evaluation", job_id)
    evaluation: dict[str, Any] = json.loads(request.app.state.storage.read(job.evaluation_sha256))
    return EvaluationRead.model_validate(evaluation | {"model": f"{job.model}@{job.model_version}"})
