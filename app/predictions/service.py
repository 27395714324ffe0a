"""Which version a reference means, and its answers; what was found is trusted for less than a second."""

from __future__ import annotations

import logging
import time

from sqlalchemy import update
from starlette.concurrency import run_in_threadpool

from app.database import Sessions
from app.errors import Corrupt
from app.learning.runtime import Predictor
from app.models import service as models
from app.models.reference import BEST, parse
from app.predictions.loaded import Loadable, LoadedModels
from app.principal import Principal
from app.tables import ModelVersionRow

log = logging.getLogger("maas")
TRUSTED_SECONDS = 0.8
MAX_REMEMBERED = 4096
Key = tuple[str, str | None, str]


class Served:
    """What one API process serves: references resolved a moment ago, and the models behind them."""

    def __init__(self, sessions: Sessions, read_sessions: Sessions, loaded: LoadedModels) -> None:
        self.loaded = loaded
        self._sessions = sessions
        self._read_sessions = read_sessions
        self._resolved: dict[Key, tuple[float, Loadable]] = {}

    async def predictor(self, principal: Principal, reference: str) -> tuple[Loadable, Predictor]:
        """The version that a reference means, or the best weights so far of a running job, and the predictor.

        Raises: NotFound; Invalid when it is no reference; Corrupt when the stored bytes are damaged.
        """
        key = (principal.project_id, principal.model, reference)
        found = self._resolved.get(key)
        if found is None or time.monotonic() - found[0] > TRUSTED_SECONDS:
            found = await self._look_up(key, principal, reference)
        predictor = self.loaded.find(found[1])
        if predictor is None and found[1].snapshot is not None:
            # Its bytes go once there are newer ones: what is to be read is looked up at once before.
            found = await self._look_up(key, principal, reference)
        if predictor is None:
            predictor = await run_in_threadpool(self._load, found[1])
        return found[1], predictor

    async def _look_up(self, key: Key, principal: Principal, reference: str) -> tuple[float, Loadable]:
        asked = time.monotonic()
        model = await run_in_threadpool(self._resolve, principal, reference)
        if len(self._resolved) >= MAX_REMEMBERED:
            self._resolved.clear()
        found = self._resolved[key] = (asked, model)
        return found

    def _resolve(self, principal: Principal, reference: str) -> Loadable:
        parsed = parse(reference)
        with self._read_sessions.begin() as session:
            best = models.find_snapshot(session, principal, parsed.name) if parsed.alias == BEST else None
            if best is not None:
                told = {"job": best.job_id, "epoch": best.epoch, "step": best.step}
                return Loadable(reference, best.job_id, best.step, best.graph_sha256, best.manifest, told)
            row = models.get_version(session, principal, parsed)
            name = f"{parsed.name}@{row.version}"
            return Loadable(name, row.model_id, row.version, row.graph_sha256, row.manifest)

    def _load(self, model: Loadable) -> Predictor:
        try:
            predictor = self.loaded.load(model)
        except Corrupt:
            log.error("the stored bytes of %s are damaged", model.reference)
            self._mark(model, "corrupt")
            raise
        self._mark(model, "ready")
        return predictor

    def _mark(self, model: Loadable, status: str) -> None:
        if model.snapshot is not None:
            return
        where = (ModelVersionRow.model_id == model.model_id, ModelVersionRow.version == model.version)
        with self._sessions.begin() as session:
            session.execute(
                update(ModelVersionRow).where(*where, ModelVersionRow.status != status).values(status=status)
            )
