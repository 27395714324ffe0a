"""/v2: the Open Inference Protocol, version 2, with binary tensors, the model repository and statistics."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Path, Response
from sqlalchemy.orm import Session
from starlette.requests import Request

from app import __version__, health
from app.errors import MaasError
from app.learning.runtime import Predictor
from app.models import service as models
from app.models.calls import DATATYPES, inputs_of
from app.predictions.describing import Described, describe
from app.predictions.inference_schemas import (
    IndexEntry,
    IndexRequest,
    InferRequest,
    InferResponse,
    LiveRead,
    MetadataRead,
    ModelReadyRead,
    ReadyRead,
    ServerRead,
    StatsRead,
    TensorRead,
)
from app.predictions.loaded import Loadable
from app.predictions.media import content_type
from app.predictions.prediction_log import PredictionLog
from app.predictions.protocols import inference
from app.predictions.room import Room
from app.predictions.service import Served
from app.predictions.statistics import Statistics, nothing_yet
from app.principal import Principal
from app.settings import Settings
from app.web import strict_json
from app.web.routing import Caller, InSession, allow, allow_anybody, check_json_type, router
from app.web.schemas import inlined, parameter

routes = router("inference")
EXTENSIONS = ["binary_tensor_data", "model_repository", "statistics"]
MAX_LISTED = 10_000
MODEL = "`churn`, `churn@3`, `churn@champion` or `churn@best`."
VERSION = "A number or an alias, for a model without `@`."
Model = Annotated[str, Path(max_length=200, description=MODEL)]
Version = Annotated[str, Path(max_length=64, description=VERSION)]
IN_MODEL, IN_VERSION = parameter("model", "path", MODEL), parameter("version", "path", VERSION)
HEADER = parameter(
    "Inference-Header-Content-Length",
    "header",
    "Length of the JSON before raw bytes; 0: the body is one input in raw form.",
    type="integer",
    minimum=0,
)
BODY = {
    "application/json": {"schema": inlined(InferRequest)},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
INFER: dict[str, Any] = {"parameters": [IN_MODEL, HEADER], "requestBody": {"required": True, "content": BODY}}
INFER_VERSION = INFER | {"parameters": [IN_MODEL, IN_VERSION, HEADER]}


@routes.get("/v2")
@allow_anybody
def get_inference_server() -> ServerRead:
    """The name of the server and the extensions of the protocol that it speaks."""
    return ServerRead(name="maas", version=__version__, extensions=EXTENSIONS)


@routes.get("/v2/health/live")
@allow_anybody
def is_inference_server_live() -> LiveRead:
    """Whether the process answers at all."""
    return LiveRead(live=True)


@routes.get("/v2/health/ready")
@allow_anybody
def is_inference_server_ready(request: Request) -> ReadyRead:
    """Whether the database answers and has the schema of this version; 503 otherwise."""
    health.readyz(request)
    return ReadyRead(ready=True)


@routes.get("/v2/models/stats")
@allow("predict", bound_keys=True)
def get_inference_statistics(request: Request, caller: Caller) -> StatsRead:
    """What this process has answered over this protocol, for every version that was called."""
    return _statistics(request, caller, caller.model)


@routes.get("/v2/models/{model}")
@allow("predict", bound_keys=True)
def get_inference_model(model: Model, caller: Caller, session: InSession) -> MetadataRead:
    """The tensors that a model reads and answers with: an input for each column."""
    return _metadata(session, caller, describe(session, caller, model))


@routes.get("/v2/models/{model}/versions/{version}")
@allow("predict", bound_keys=True)
def get_inference_model_version(model: Model, version: Version, caller: Caller, session: InSession) -> MetadataRead:
    """The tensors that a version reads and answers with."""
    return _metadata(session, caller, describe(session, caller, f"{model}@{version}"))


@routes.get("/v2/models/{model}/ready")
@allow("predict", bound_keys=True)
async def is_inference_model_ready(request: Request, model: Model, caller: Caller) -> ModelReadyRead:
    """Whether a model can answer: it is loaded and its bytes are checked; 404 or 503 otherwise."""
    return await _ready(request, caller, model)


@routes.get("/v2/models/{model}/versions/{version}/ready")
@allow("predict", bound_keys=True)
async def is_inference_model_version_ready(
    request: Request, model: Model, version: Version, caller: Caller
) -> ModelReadyRead:
    """Whether a version can answer."""
    return await _ready(request, caller, f"{model}@{version}")


@routes.get("/v2/models/{model}/stats")
@allow("predict", bound_keys=True)
def get_inference_model_statistics(request: Request, model: Model, caller: Caller, session: InSession) -> StatsRead:
    """What this process has answered over this protocol with each version of a model; a reference means one."""
    found = describe(session, caller, model)
    return _statistics(request, caller, found.name, found.version if "@" in model else None)


@routes.get("/v2/models/{model}/versions/{version}/stats")
@allow("predict", bound_keys=True)
def get_inference_model_version_statistics(
    request: Request, model: Model, version: Version, caller: Caller, session: InSession
) -> StatsRead:
    """What this process has answered over this protocol with a version."""
    found = describe(session, caller, f"{model}@{version}")
    return _statistics(request, caller, found.name, found.version)


@routes.post("/v2/repository/index")
@allow("read", bound_keys=True)
def list_inference_models(caller: Caller, session: InSession, body: IndexRequest | None = None) -> list[IndexEntry]:
    """The versions of all models, by name; at most 10,000."""
    found = models.list_status(session, caller, limit=MAX_LISTED)
    entries = [_entry(*each) for each in found]
    return [entry for entry in entries if entry.state == "READY" or body is None or not body.ready]


@routes.post("/v2/repository/models/{model}/load")
@allow("predict", bound_keys=True)
async def load_inference_model(request: Request, model: Model, caller: Caller) -> ModelReadyRead:
    """Load a model into the memory of this process, as its first request would."""
    return await _ready(request, caller, model)


@routes.post("/v2/repository/models/{model}/unload")
@allow("models:write")
def unload_inference_model(request: Request, model: Model, caller: Caller, session: InSession) -> ModelReadyRead:
    """Give up the memory that a model takes in this process; its next request loads it again."""
    found = describe(session, caller, model)
    served: Served = request.app.state.served
    served.loaded.unload(found.model_id, found.number)
    return ModelReadyRead(name=found.name, ready=False)


@routes.post(
    "/v2/models/{model}/versions/{version}/infer",
    name="infer_version",
    response_model=InferResponse,
    openapi_extra=INFER_VERSION,
)
@routes.post("/v2/models/{model}/infer", response_model=InferResponse, openapi_extra=INFER)
@allow("predict", bound_keys=True, body="predict", direct=True)
async def infer(request: Request) -> Response:
    """Answer tensors with tensors, in JSON or in raw bytes behind it; the body may be gzip or deflate."""
    settings: Settings = request.app.state.settings
    served: Served = request.app.state.served
    parameters = request.path_params
    reference = f"{parameters['model']}@{parameters['version']}" if "version" in parameters else parameters["model"]
    body = await request.body()
    started = time.perf_counter_ns()
    asked = _read(request, body, settings.max_predict_rows)
    read_ns = time.perf_counter_ns() - started
    model, predictor = await served.predictor(request.state.principal, reference)
    ready = time.perf_counter_ns()
    room: Room = request.app.state.room
    seconds = predictor.expects(asked.num_rows)
    return await room.compute(seconds, _answer, request, asked, model, predictor, ready, read_ns)


def _read(request: Request, body: bytes, max_rows: int) -> inference.Inference:
    header_length = request.headers.get(inference.HEADER_LENGTH)
    # Clients of this protocol send raw bytes, and some JSON, too, without saying what it is.
    is_raw = header_length is not None and content_type(request.headers) == "application/octet-stream"
    if "content-type" in request.headers and not is_raw:
        check_json_type(request)
    described, raw = inference.split(body, header_length)
    if header_length is not None and not described:
        return inference.read_raw(raw)
    return inference.read(strict_json.loads(described), raw, max_rows=max_rows)


def _answer(
    request: Request, asked: inference.Inference, model: Loadable, predictor: Predictor, ready: int, read_ns: int
) -> Response:
    """The answer, counted: `ready` is when it could have begun, `read_ns` what reading the tensors took."""
    statistics: Statistics = request.app.state.statistics
    settings: Settings = request.app.state.settings
    name, _, version = model.reference.partition("@")
    key = (request.state.principal.project_id, name, version)
    begun = time.perf_counter_ns()
    try:
        y_BK, warnings = inference.answer(asked, predictor, max_rows=settings.max_predict_rows)
        answered = time.perf_counter_ns()
        content, header_length = inference.draw(
            asked, model, predictor, y_BK, warnings, request_id=request.state.request_id
        )
    except MaasError:
        statistics.failed(key, read_ns + time.perf_counter_ns() - ready)
        raise
    stages_ns = (read_ns, answered - begun, time.perf_counter_ns() - answered)
    statistics.succeeded(key, num_rows=len(y_BK), queue_ns=begun - ready, stages_ns=stages_ns)
    log: PredictionLog = request.app.state.prediction_log
    log.take_undrawn(
        model, asked.id or request.state.request_id, lambda: inference.native(asked, predictor, y_BK, warnings)
    )
    if header_length is None:
        return Response(content, media_type="application/json")
    headers = {inference.HEADER_LENGTH: str(header_length)}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _metadata(session: Session, caller: Principal, found: Described) -> MetadataRead:
    versions = models.list_status(session, caller, limit=MAX_LISTED, name=found.name)
    outputs = inference.outputs_of(found.manifest["classes"] or ())
    return MetadataRead(
        name=found.name,
        versions=[str(number) for _, number, _ in versions],
        platform="onnxruntime_onnx",
        inputs=[
            TensorRead(name=column["name"], datatype=DATATYPES.get(column["type"], "BYTES"), shape=[-1])
            for column in inputs_of(found.manifest)
        ],
        outputs=[
            TensorRead(name=name, datatype=datatype, shape=list(shape)) for name, (datatype, shape) in outputs.items()
        ],
    )


async def _ready(request: Request, caller: Principal, reference: str) -> ModelReadyRead:
    served: Served = request.app.state.served
    model, _ = await served.predictor(caller, reference)
    return ModelReadyRead(name=model.reference.partition("@")[0], ready=True)


def _statistics(request: Request, caller: Principal, model: str | None = None, version: str | None = None) -> StatsRead:
    statistics: Statistics = request.app.state.statistics
    found = statistics.read(caller.project_id, model, version)
    if not found and model is not None and version is not None:
        found = [nothing_yet(model, version)]
    return StatsRead.model_validate({"model_stats": found})


def _entry(name: str, version: int, status: str) -> IndexEntry:
    is_good = status == "ready"
    state, reason = ("READY", "") if is_good else ("UNAVAILABLE", "artifact-corrupt")
    return IndexEntry.model_validate({"name": name, "version": str(version), "state": state, "reason": reason})
