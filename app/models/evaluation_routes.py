"""/v1/models/{name}/versions/{version}: evaluation, charts and card."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Path, Response
from starlette.requests import Request

from app.charts import HEADERS, MEDIA_TYPE
from app.errors import NotFound
from app.models import service
from app.models.card import card_of
from app.models.drawing import draw
from app.models.evaluation_schemas import CardRead, ChartRead, EvaluationRead
from app.models.reference import Reference
from app.models.routes import ModelName, Version
from app.principal import Principal
from app.tables import ModelVersionRow
from app.web.routing import Caller, allow, router

routes = router("models")
ChartName = Annotated[
    str,
    Path(
        pattern=r"^[a-z_]{1,32}$",
        description="confusion, roc, pr, calibration or confidence of classes; predicted, residuals or errors of "
        "values; slices, coverage.",
    ),
]
SVG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The chart.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
}


@routes.get("/v1/models/{name}/versions/{version}/evaluation")
@allow("read", bound_keys=True)
def get_model_evaluation(request: Request, name: ModelName, version: Version, caller: Caller) -> EvaluationRead:
    """How good a version is on the rows set aside for testing: metrics with intervals, charts as data, slices."""
    _, evaluation = _find(request, caller, name, version)
    return EvaluationRead.model_validate(evaluation)


@routes.get("/v1/models/{name}/versions/{version}/charts/{chart}.json")
@allow("read", bound_keys=True)
def get_model_chart(request: Request, name: ModelName, version: Version, chart: ChartName, caller: Caller) -> ChartRead:
    """One chart of the evaluation as data: lines, bars or a heat map, with its title and labels."""
    return _chart(request, caller, name, version, chart)


@routes.get("/v1/models/{name}/versions/{version}/charts/{chart}.svg", response_class=Response, responses=SVG)
@allow("read", bound_keys=True)
def draw_model_chart(request: Request, name: ModelName, version: Version, chart: ChartName, caller: Caller) -> Response:
    """One chart of the evaluation as a picture."""
    return Response(draw(_chart(request, caller, name, version, chart)), media_type=MEDIA_TYPE, headers=HEADERS)


@routes.get("/v1/models/{name}/versions/{version}/card")
@allow("read", bound_keys=True)
def get_model_card(request: Request, name: ModelName, version: Version, caller: Caller) -> CardRead:
    """What somebody should know before using a version: data, quality against baselines, calibration, limits."""
    row, evaluation = _find(request, caller, name, version)
    return CardRead.model_validate(card_of(row, f"{name}@{version}", evaluation))


def _find(request: Request, caller: Principal, name: str, version: int) -> tuple[ModelVersionRow, dict[str, Any]]:
    with request.app.state.read_sessions.begin() as session:
        row = service.get_version(session, caller, Reference(name, version))
    if row.evaluation_sha256 is None:
        raise NotFound("evaluation", f"{name}@{version}")
    evaluation: dict[str, Any] = json.loads(request.app.state.storage.read(row.evaluation_sha256))
    return row, evaluation | {"model": f"{name}@{version}"}


def _chart(request: Request, caller: Principal, name: str, version: int, chart: str) -> ChartRead:
    _, evaluation = _find(request, caller, name, version)
    charts = EvaluationRead.model_validate(evaluation).charts
    if chart not in charts:
        raise NotFound("chart", chart)
    return charts[chart]
