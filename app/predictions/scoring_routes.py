"""/invocations as MLflow's scoring server answers it, and the first protocol of KServe."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import PlainTextResponse
from starlette.requests import Request

from app import __version__, health
from app.errors import Invalid
from app.predictions.media import read_table
from app.predictions.prediction_log import PredictionLog
from app.predictions.protocols import scoring
from app.predictions.protocols.questions import Question
from app.predictions.room import Room
from app.predictions.scoring_schemas import InstancesRequest, InvocationsRequest, PredictionsResponse
from app.predictions.service import Served
from app.settings import Settings
from app.web import strict_json
from app.web.routing import allow, allow_anybody, check_json_type, router
from app.web.schemas import inlined, parameter

routes = router("scoring")
MODEL = "x-maas-model"
WHICH = "The model to ask, such as churn@3; else the one the key is bound to, else the setting MAAS_SERVED_MODEL."
REFERENCE = parameter("reference", "path", "`churn`, `churn@3`, `churn@champion` or `churn@best`.")
TABLES = {
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}
INVOCATIONS: dict[str, Any] = {
    "parameters": [parameter("model", "query", WHICH), parameter("X-Maas-Model", "header", WHICH)],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": inlined(InvocationsRequest)}, **TABLES},
    },
}
INSTANCES: dict[str, Any] = {
    "parameters": [REFERENCE],
    "requestBody": {"required": True, "content": {"application/json": {"schema": inlined(InstancesRequest)}}},
}


@routes.post("/invocations", response_model=PredictionsResponse, openapi_extra=INVOCATIONS)
@allow("predict", bound_keys=True, body="predict", direct=True)
async def invoke(request: Request) -> Response:
    """Predict rows in a form of MLflow: `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or a file."""
    settings: Settings = request.app.state.settings
    reference = _model(request, settings)
    body = await request.body()
    options: dict[str, Any] = {}
    question = await read_table(request, body)
    if question is None:
        question, options = scoring.read_mlflow(_json(request, body), max_rows=settings.max_predict_rows)
    return await _answer(request, reference, question, options, "/params")


@routes.post("/v1/models/{reference}:predict", response_model=PredictionsResponse, openapi_extra=INSTANCES)
@allow("predict", bound_keys=True, body="predict", direct=True)
async def predict_instances(request: Request) -> Response:
    """Predict `instances`, as objects by column name or as arrays in training order (KServe, first protocol)."""
    settings: Settings = request.app.state.settings
    body = _json(request, await request.body())
    question, options = scoring.read_kserve(body, max_rows=settings.max_predict_rows)
    return await _answer(request, request.path_params["reference"], question, options, "/parameters")


@routes.get("/ping", response_class=PlainTextResponse)
@allow_anybody
def ping(request: Request) -> Response:
    """Whether predictions can be answered: 200 and nothing else, or 503."""
    health.readyz(request)
    return PlainTextResponse("\n")


@routes.get("/version", response_class=PlainTextResponse)
@allow_anybody
def get_server_version() -> Response:
    """The version of the server."""
    return PlainTextResponse(__version__)


def _model(request: Request, settings: Settings) -> str:
    given = request.query_params.get("model") or request.headers.get(MODEL)
    reference = given or request.state.principal.model or settings.served_model
    if reference is None:
        detail = "Say which model: ?model=name, the header X-Maas-Model, or the setting MAAS_SERVED_MODEL."
        raise Invalid(detail, errors=[{"pointer": "query:model", "detail": detail}])
    return reference


def _json(request: Request, body: bytes) -> Any:
    check_json_type(request)
    return strict_json.loads(body)


async def _answer(
    request: Request, reference: str, question: Question, options: dict[str, Any], pointer: str
) -> Response:
    served: Served = request.app.state.served
    log: PredictionLog = request.app.state.prediction_log
    model, predictor = await served.predictor(request.state.principal, reference)

    def answer() -> bytes:
        predictions = question.answer(predictor, options, pointer=pointer)
        log.take_undrawn(model, request.state.request_id, lambda: (question.native(predictor), predictions))
        return scoring.draw(predictions)

    room: Room = request.app.state.room
    content = await room.compute(predictor.expects(question.num_rows), answer)
    return Response(content, media_type="application/json")
