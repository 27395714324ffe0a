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
from app.models.reference import Reference, parse
from app.models.routes import ModelName, Version
from app.models.typed_openapi import document_of
from app.principal import Principal
from app.tables import ModelVersionRow
from app.web.dialects import Problem
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
AnyReference = Annotated[str, Path(max_length=200, description="`churn`, `churn@3` or `churn@champion`.")]
SVG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The chart.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
}


@routes.get("/v1/models/{name}/versions/{version}/evaluation")
@allow("read", bound_keys=True)
def get_model_evaluation(request: Request, name: ModelName, version: Version, caller: Caller) -> EvaluationRead:
    """How good a version is on the rows set aside for testing: metrics with intervals, charts as data, slices."""
    _, evaluation = _find(request, caller, Reference(name, version))
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
    return _card(request, caller, Reference(name, version))


@routes.get("/v1/models/{reference}/card")
@allow("read", bound_keys=True)
def get_referred_card(request: Request, reference: AnyReference, caller: Caller) -> CardRead:
    """The card of the version that a reference means: what to know before using it, and how to call it."""
    return _card(request, caller, parse(reference))


@routes.get("/v1/models/{reference}/openapi.json")
@allow("read", bound_keys=True)
def get_model_openapi(request: Request, reference: AnyReference, caller: Caller) -> dict[str, Any]:
    """An OpenAPI document of one version, for typed clients: its columns, categories, ranges and classes."""
    parsed = parse(reference)
    with request.app.state.read_sessions.begin() as session:
        row = service.get_version(session, caller, parsed)
    return document_of(f"{parsed.name}@{row.version}", row.manifest, _server(request), Problem.schemas())


def _server(request: Request) -> str:
    # What the client wrote in Host goes back to this client only; nothing is decided by it.
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}"


def _card(request: Request, caller: Principal, reference: Reference) -> CardRead:
    row, evaluation = _find(request, caller, reference)
    return CardRead.model_validate(card_of(row, evaluation["model"], evaluation, _server(request)))


def _find(request: Request, caller: Principal, reference: Reference) -> tuple[ModelVersionRow, dict[str, Any]]:
    with request.app.state.read_sessions.begin() as session:
        row = service.get_version(session, caller, reference)
    name = f"{reference.name}@{row.version}"
    if row.evaluation_sha256 is None:
        raise NotFound("evaluation", name)
    evaluation: dict[str, Any] = json.loads(request.app.state.storage.read(row.evaluation_sha256))
    return row, evaluation | {"model": name}


def _chart(request: Request, caller: Principal, name: str, version: int, chart: str) -> ChartRead:
    _, evaluation = _find(request, caller, Reference(name, version))
    charts = EvaluationRead.model_validate(evaluation).charts
    if chart not in charts:
        raise NotFound("chart", chart)
    return charts[chart]
