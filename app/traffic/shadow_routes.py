"""/v1/models/{name}/aliases/{alias}/shadow: a version that answers beside, unseen by clients, and is compared."""

from __future__ import annotations

from app.models import service as models
from app.models.routes import ModelName
from app.tables import ShadowRow
from app.traffic import shadow_service
from app.traffic.routes import AliasName
from app.traffic.shadow_schemas import LatencyRead, ShadowErrorRead, ShadowRead, ShadowWrite
from app.web.routing import Caller, InSession, allow, router

routes = router("models")


@routes.get("/v1/models/{name}/aliases/{alias}/shadow")
@allow("read", bound_keys=True)
def get_shadow(name: ModelName, alias: AliasName, caller: Caller, session: InSession) -> ShadowRead:
    """How the answers of the shadow compare with those that clients got."""
    return _show(name, shadow_service.get(session, models.get(session, caller, name), alias))


@routes.put("/v1/models/{name}/aliases/{alias}/shadow")
@allow("models:write")
def put_shadow(name: ModelName, alias: AliasName, body: ShadowWrite, caller: Caller, session: InSession) -> ShadowRead:
    """Put a version into the shadow of an alias; its figures begin anew."""
    model = models.get(session, caller, name)
    row = shadow_service.put(session, caller, model, alias, version=body.version, share=body.share)
    return _show(name, row)


@routes.delete("/v1/models/{name}/aliases/{alias}/shadow", status_code=204)
@allow("models:write")
def delete_shadow(name: ModelName, alias: AliasName, caller: Caller, session: InSession) -> None:
    """Take the shadow of an alias away, with its figures."""
    shadow_service.delete(session, caller, models.get(session, caller, name), alias)


def _show(name: str, row: ShadowRow) -> ShadowRead:
    tally = row.tally
    num_rows, num_labels = tally.get("num_rows", 0), tally.get("num_labels", 0)
    return ShadowRead(
        model=name,
        alias=row.alias,
        version=row.version,
        share=row.share,
        num_requests=tally.get("num_requests", 0),
        num_rows=num_rows,
        num_failed=tally.get("num_failed", 0),
        num_dropped=tally.get("num_dropped", 0),
        equal_labels=tally.get("num_equal", 0) / num_labels if num_labels else None,
        mean_absolute_difference=tally["difference"] / num_rows if num_rows else None,
        latency=_latency(row, "seconds"),
        shadow_latency=_latency(row, "shadow_seconds"),
        last_errors=[ShadowErrorRead.model_validate(each) for each in tally.get("errors", [])],
        created_at=row.created_at,
    )


def _latency(row: ShadowRow, name: str) -> LatencyRead | None:
    count = row.tally.get("num_requests", 0)
    if not count:
        return None
    return LatencyRead(mean_ms=1000 * row.tally[name] / count, max_ms=1000 * row.tally[f"max_{name}"])
