"""/v1/models/{name}/gates: what a version must show before a guarded alias points at it."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.errors import NotFound
from app.models import service as models
from app.models.routes import ModelName
from app.tables import GateRow
from app.traffic import checking, service
from app.traffic.routes import WAIT_SECONDS, place_of
from app.traffic.schemas import CheckCreate, CheckRead, GatesRead, GatesWrite, OutcomeRead
from app.traffic.service import Target
from app.web.paging import Wait
from app.web.routing import Caller, InSession, allow, router

routes = router("models")


@routes.get("/v1/models/{name}/gates")
@allow("read", bound_keys=True)
def get_gates(name: ModelName, caller: Caller, session: InSession) -> GatesRead:
    """Which aliases of a model are guarded, and by which rules."""
    return _show(name, service.get_gates(session, models.get(session, caller, name)))


@routes.put("/v1/models/{name}/gates")
@allow("models:write")
def put_gates(name: ModelName, body: GatesWrite, caller: Caller, session: InSession) -> GatesRead:
    """Replace the gates of a model; they hold for moves from now on."""
    return _show(name, service.set_gates(session, caller, models.get(session, caller, name), body))


@routes.delete("/v1/models/{name}/gates", status_code=204)
@allow("models:write")
def delete_gates(name: ModelName, caller: Caller, session: InSession) -> None:
    """Remove the gates of a model: no alias of it is guarded any more."""
    service.delete_gates(session, caller, models.get(session, caller, name))


@routes.post("/v1/models/{name}/gates:check")
@allow("models:write")
async def check_gates(request: Request, name: ModelName, body: CheckCreate, caller: Caller, wait: Wait) -> CheckRead:
    """Hold a version against the gates without moving anything: every rule with its figures."""
    place = place_of(request)
    target = Target(body.version)
    seen = await run_in_threadpool(checking.look, place, caller, name, body.alias, target, None)
    if not seen.rules:
        raise NotFound("gates of model", name)
    row = seen.versions[body.version]
    verdict = await checking.check(place, caller, seen, row, seconds=wait or WAIT_SECONDS)
    return CheckRead(
        model=f"{name}@{body.version}",
        alias=body.alias,
        against=verdict.against,
        guarded=seen.guarded,
        passed=verdict.passed,
        rules=[
            OutcomeRead(rule=each.rule, passed=each.passed, detail=each.detail, figures=each.figures)
            for each in verdict.outcomes
        ],
    )


def _show(name: str, row: GateRow) -> GatesRead:
    return GatesRead(model=name, aliases=row.aliases, rules=row.rules, updated_at=row.updated_at)
