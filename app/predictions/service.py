"""Which version a reference means, and its answers; what was found is trusted for less than a second."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import update
from starlette.concurrency import run_in_threadpool

from app.database import Sessions
from app.errors import Corrupt
from app.models import service as models
from app.models.reference import BEST, parse
from app.predictions.loaded import Loadable, LoadedModels
from app.predictions.measured import Measured
from app.predictions.shadowing import Shadow, Shadowing, Tally, merge
from app.predictions.splitting import choose
from app.principal import Principal
from app.remembering import Remembered
from app.tables import ModelVersionRow, ShadowRow

log = logging.getLogger("maas")
Key = tuple[str, str | None, str]


@dataclass(frozen=True)
class Resolved:
    """What a reference meant at a moment: a version, or several with shares; `alias` tells splits apart."""

    alias: str
    models: Mapping[int, Loadable]
    shares: Mapping[int, float]
    shadow: Shadow | None = None

    def choose(self, key: str | None) -> Loadable:
        """The version that answers a request."""
        if len(self.models) == 1:
            return next(iter(self.models.values()))
        return self.models[choose(self.shares, alias=self.alias, key=key)]


class Served:
    """What one API process serves: references resolved a moment ago, and the models behind them."""

    def __init__(self, sessions: Sessions, read_sessions: Sessions, loaded: LoadedModels) -> None:
        self.loaded = loaded
        self._sessions = sessions
        self._read_sessions = read_sessions
        self._resolved: Remembered[Key, Resolved] = Remembered()
        self._shadowing = Shadowing(lambda model: self.loaded.find(model) or self.loaded.load(model), self._keep_tally)

    async def predictor(self, principal: Principal, reference: str) -> tuple[Loadable, Measured]:
        """The version that a reference means, or the best weights so far of a running job, and the predictor.

        Of a split alias it is the one that the caller sticks to, or one by chance.
        Raises: NotFound; Invalid when it is no reference; Corrupt when the stored bytes are damaged.
        """
        asked = (_key(principal, reference), self._read, principal, reference)
        found = await self._resolved.get(*asked)
        model = found.choose(principal.sticky)
        predictor = self.loaded.find(model)
        if predictor is None and model.snapshot is not None:
            # Its bytes go once there are newer ones: what is to be read is looked up at once before.
            model = (await self._resolved.look(*asked)).choose(principal.sticky)
        if predictor is None:
            predictor = await run_in_threadpool(self.load, model)
        if found.shadow is not None and found.shadow.model.version != model.version:
            predictor = self._shadowing.mirror(found.shadow, predictor)
        return model, predictor

    def close(self) -> None:
        """End what runs beside the requests."""
        self._shadowing.close()

    async def settle(self) -> None:
        """Wait for the looks at the database that are under way."""
        await self._resolved.settle()

    def at_hand(self, principal: Principal, reference: str) -> tuple[Loadable, Measured] | None:
        """The one version that a reference means and its predictor, if nothing has to be waited for or shown around."""
        found = self._resolved.find(_key(principal, reference), self._read, principal, reference)
        if found is None or len(found.models) != 1 or found.shadow is not None:
            return None
        model = found.choose(None)
        predictor = self.loaded.find(model) if model.snapshot is None else None
        return (model, predictor) if predictor is not None else None

    def _read(self, principal: Principal, reference: str) -> Resolved:
        parsed = parse(reference)
        with self._read_sessions.begin() as session:
            best = models.find_snapshot(session, principal, parsed.name) if parsed.alias == BEST else None
            if best is not None:
                told = {"job": best.job_id, "epoch": best.epoch, "step": best.step}
                model = Loadable(
                    reference, best.job_id, best.step, best.graph_sha256, best.manifest, told, principal.project_id
                )
                return Resolved(reference, {best.step: model}, {best.step: 1.0})
            served = models.get_served(session, principal, parsed)
            model_id = next(iter(served.values()))[0].model_id
            shadow = models.find_shadow(session, model_id, parsed.alias) if parsed.alias is not None else None
        versions = {number: loadable(parsed.name, row, principal.project_id) for number, (row, _) in served.items()}
        shares = {number: share for number, (_, share) in served.items()}
        beside = None
        if shadow is not None:
            row, version = shadow
            model = loadable(parsed.name, version, principal.project_id)
            beside = Shadow(row.id, model_id, row.alias, model, row.share)
        return Resolved(reference, versions, shares, beside)

    def load(self, model: Loadable) -> Measured:
        """The predictor of a version, read if need be. Raises: Corrupt when the stored bytes are damaged."""
        try:
            predictor = self.loaded.load(model)
        except Corrupt:
            log.error("the stored bytes of %s are damaged", model.reference)
            self._mark(model, "corrupt")
            raise
        self._mark(model, "ready")
        return predictor

    def _keep_tally(self, shadow: Shadow, tally: Tally) -> None:
        with self._sessions.begin() as session:
            place = (shadow.model_id, shadow.alias)
            row = session.get(ShadowRow, place, with_for_update=True)
            if row is not None and row.id == shadow.id:
                row.tally = merge(row.tally, tally)

    def _mark(self, model: Loadable, status: str) -> None:
        if model.snapshot is not None:
            return
        where = (ModelVersionRow.model_id == model.model_id, ModelVersionRow.version == model.version)
        with self._sessions.begin() as session:
            session.execute(
                update(ModelVersionRow).where(*where, ModelVersionRow.status != status).values(status=status)
            )


def _key(principal: Principal, reference: str) -> Key:
    return principal.project_id, principal.model, reference


def loadable(name: str, row: ModelVersionRow, project_id: str) -> Loadable:
    """A version of the model with this name, as it is loaded."""
    reference = f"{name}@{row.version}"
    return Loadable(reference, row.model_id, row.version, row.graph_sha256, row.manifest, project_id=project_id)
