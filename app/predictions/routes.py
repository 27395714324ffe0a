"""POST /v1/models/{reference}/predict."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.predictions.protocols import native
from app.predictions.schemas import PredictRequest, PredictResponse
from app.predictions.service import Served
from app.settings import Settings
from app.web import strict_json
from app.web.routing import allow, check_json_type, router

routes = router("predictions")
# The body is read here, not by pydantic: the columns of the model are its schema, and rows reach arrays sooner.
REFERENCE = {
    "name": "reference",
    "in": "path",
    "required": True,
    "description": "`churn`, `churn@3`, `churn@champion`, or `churn@best` while a job trains it.",
    "schema": {"type": "string", "maxLength": 200},
}
SHAPE: dict[str, Any] = {
    "parameters": [REFERENCE],
    "requestBody": {"required": True, "content": {"application/json": {"schema": PredictRequest.model_json_schema()}}},
}


@routes.post("/v1/models/{reference}/predict", response_model=PredictResponse, openapi_extra=SHAPE)
@allow("predict", bound_keys=True, body="predict", direct=True)
async def predict(request: Request) -> Response:
    """Predict: a label with probabilities, or a value, for each row, in their order."""
    settings: Settings = request.app.state.settings
    served: Served = request.app.state.served
    check_json_type(request)
    body = strict_json.loads(await request.body())
    num_rows = native.num_rows(body, max_rows=settings.max_predict_rows)
    model, predictor = await served.predictor(request.state.principal, request.path_params["reference"])
    if num_rows <= native.WITHOUT_A_THREAD:
        content = native.answer(model, predictor, body)
    else:
        content = await run_in_threadpool(native.answer, model, predictor, body)
    return Response(content, media_type="application/json")
