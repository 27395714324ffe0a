"""POST /v1/models/{reference}/predict."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from starlette.requests import Request

from app.predictions import media
from app.predictions.prediction_log import PredictionLog
from app.predictions.protocols import native
from app.predictions.room import Room
from app.predictions.schemas import PredictRequest, PredictResponse
from app.predictions.service import Served
from app.predictions.timing import NAME, Stopwatch
from app.settings import Settings
from app.web import strict_json
from app.web.routing import allow, check_json_type, router

routes = router("predictions")
# Which version answered, where the answer is a table and cannot say so itself.
MODEL = "x-maas-model"
# The body is read here, not by pydantic: the columns of the model are its schema, and rows reach arrays sooner.
REFERENCE = {
    "name": "reference",
    "in": "path",
    "required": True,
    "description": "`churn`, `churn@3`, `churn@champion`, or `churn@best` while a job trains it.",
    "schema": {"type": "string", "maxLength": 200},
}
STICKY = {
    "name": "X-Maas-Sticky",
    "in": "header",
    "required": False,
    "description": "Whom the request is for: of a split alias the same value always gets the same version.",
    "schema": {"type": "string"},
}
TABLES = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media.ANSWERS if kind != media.JSON}
ANSWERS: dict[int | str, dict[str, Any]] = {200: {"description": "A prediction for each row.", "content": TABLES}}
SHAPE: dict[str, Any] = {
    "parameters": [REFERENCE, STICKY],
    "requestBody": {
        "required": True,
        "content": {media.JSON: {"schema": PredictRequest.model_json_schema()}, **TABLES},
    },
}


@routes.post("/v1/models/{reference}/predict", response_model=PredictResponse, responses=ANSWERS, openapi_extra=SHAPE)
@allow("predict", bound_keys=True, body="predict", direct=True)
async def predict(request: Request) -> Response:
    """Predict: a label with probabilities, or a value, for each row, in their order; JSON or files, in and out."""
    settings: Settings = request.app.state.settings
    served: Served = request.app.state.served
    room: Room = request.app.state.room
    wanted = media.wanted(request.headers)
    if wanted != media.JSON or media.content_type(request.headers) in media.TABLES:
        return await _predict_table(request, wanted)
    check_json_type(request)
    content = await request.body()
    watch = Stopwatch()
    body = strict_json.loads(content)
    num_rows = native.num_rows(body, max_rows=settings.max_predict_rows)
    watch.parsed()
    model, predictor = await served.predictor(request.state.principal, request.path_params["reference"])

    def answer() -> bytes:
        watch.begun()
        predictions = native.predict(predictor, body)
        watch.computed()
        return native.draw(model, predictions, body.get("id", request.state.request_id))

    drawn = await room.compute(predictor.expects(num_rows), answer)
    request.app.state.prediction_log.take(model, request.state.request_id, body, drawn)
    return Response(drawn, media_type="application/json", headers={NAME: watch.drawn()})


async def _predict_table(request: Request, wanted: str) -> Response:
    """The same where a file comes in, or is to come out."""
    settings: Settings = request.app.state.settings
    served: Served = request.app.state.served
    room: Room = request.app.state.room
    content = await request.body()
    question = await media.read_table(request, content)
    body: dict[str, Any] = {}
    if question is None:
        check_json_type(request)
        body = strict_json.loads(content)
        num_rows = native.num_rows(body, max_rows=settings.max_predict_rows)
    else:
        num_rows = question.num_rows
    model, predictor = await served.predictor(request.state.principal, request.path_params["reference"])
    id = body.get("id", request.state.request_id)

    log: PredictionLog = request.app.state.prediction_log

    def answer() -> bytes:
        if question is None:
            predictions = native.predict(predictor, body)
            log.take_undrawn(model, id, lambda: (body, predictions))
        else:
            predictions = question.answer(predictor, {})
            log.take_undrawn(model, id, lambda: (question.native(predictor), predictions))
        return native.draw(model, predictions, id) if wanted == media.JSON else media.draw(wanted, predictions)

    drawn = await room.compute(predictor.expects(num_rows), answer)
    return Response(drawn, media_type=wanted, headers={MODEL: model.reference})
