"""GET /v1/models/{name}/versions/{version}/drift."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request

from app.models import service as models
from app.models.reference import NAME, Reference
from app.predictions import drift
from app.predictions.drift_schemas import DriftRead
from app.web.routing import Caller, InSession, allow, router

routes = router("predictions")
ModelName = Annotated[str, Path(pattern=rf"^{NAME}$", description="Name of a model.")]
Version = Annotated[int, Path(ge=1, le=10**9, description="Number of a version.")]
Hours = Annotated[float, Query(gt=0, le=24 * 3650, description="How far back to look.")]


@routes.get("/v1/models/{name}/versions/{version}/drift")
@allow("read", bound_keys=True)
def get_model_drift(
    request: Request, name: ModelName, version: Version, caller: Caller, session: InSession, hours: Hours = 24.0
) -> DriftRead:
    """How far logged requests and answers lie from the training data; `/metrics` repeats the last answer."""
    row = models.get_version(session, caller, Reference(name, version))
    found = drift.measure(session, row, f"{name}@{version}", hours=hours)
    request.app.state.drifts.keep(caller.project_id, found)
    return found
