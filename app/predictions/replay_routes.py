"""POST /v1/models/{name}/versions/{version}/replay."""

from __future__ import annotations

from starlette.requests import Request

from app.predictions.drift_routes import ModelName, Version
from app.predictions.replay_schemas import ReplayCreate, ReplayRead
from app.predictions.replaying import BLOCK_ROWS, Replay
from app.web.routing import Caller, allow, router

routes = router("predictions")


@routes.post("/v1/models/{name}/versions/{version}/replay")
@allow("read", bound_keys=True)
async def replay_model_log(
    request: Request, name: ModelName, version: Version, caller: Caller, body: ReplayCreate | None = None
) -> ReplayRead:
    """Answer logged rows once more with this version, and compare that with what was answered then; nothing is kept."""
    state = request.app.state
    model, predictor = await state.served.predictor(caller, f"{name}@{version}")
    block_rows = min(BLOCK_ROWS, state.settings.max_predict_rows)
    return await Replay(model, predictor, body or ReplayCreate()).run(
        state.room, state.read_sessions, block_rows=block_rows
    )
