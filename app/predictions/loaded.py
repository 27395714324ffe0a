"""Models in memory: loaded once, verified by digest, within a budget, the least recently used leaves first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from app.learning.runtime import Predictor
from app.storage import Storage


@dataclass(frozen=True)
class Loadable:
    """A version as the database describes it; `graph_sha256` tells versions apart, whatever their names.

    For the best weights so far of a running job `snapshot` says which, and `model_id` is the job's id.
    """

    reference: str
    model_id: str
    version: int
    graph_sha256: str
    manifest: dict[str, Any]
    snapshot: dict[str, Any] | None = None


class LoadedModels:
    """The predictors of one API process."""

    def __init__(self, storage: Storage, *, budget_bytes: int) -> None:
        self._storage = storage
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._ready: OrderedDict[tuple[str, int, str], Predictor] = OrderedDict()
        self._loading: dict[tuple[str, int, str], Future[Predictor]] = {}

    def find(self, model: Loadable) -> Predictor | None:
        """The predictor, if it is in memory."""
        key = _key(model)
        with self._lock:
            predictor = self._ready.get(key)
            if predictor is not None:
                self._ready.move_to_end(key)
            return predictor

    def load(self, model: Loadable) -> Predictor:
        """The predictor, read from the store if need be; many callers at once read it once.

        Raises: Corrupt when the stored bytes do not match their digest.
        """
        key = _key(model)
        with self._lock:
            if (ready := self._ready.get(key)) is not None:
                return ready
            future = self._loading.get(key)
            mine = future is None
            if future is None:
                future = self._loading[key] = Future()
        if mine:
            self._read(model, key, future)
        return future.result()

    def unload(self, model_id: str, version: int) -> None:
        """Give up the memory of a version, if it takes any; the next request for it reads it again."""
        with self._lock:
            for key in [key for key in self._ready if key[:2] == (model_id, version)]:
                del self._ready[key]

    @property
    def size_bytes(self) -> int:
        """Memory of the loaded models, as they estimate it."""
        with self._lock:
            return sum(predictor.size_bytes for predictor in self._ready.values())

    def _read(self, model: Loadable, key: tuple[str, int, str], future: Future[Predictor]) -> None:
        try:
            predictor = Predictor.load(model.manifest, self._storage.read(model.graph_sha256))
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            future.set_exception(error)
            return
        with self._lock:
            del self._loading[key]
            if model.snapshot is not None:
                # Nobody asks for the weights before these any more.
                for old in [each for each in self._ready if each[0] == model.model_id]:
                    del self._ready[old]
            self._ready[key] = predictor
            self._evict()
        future.set_result(predictor)

    def _evict(self) -> None:
        # The newest stays even when it alone is over the budget: it was asked for.
        used = sum(predictor.size_bytes for predictor in self._ready.values())
        while used > self._budget_bytes and len(self._ready) > 1:
            _, oldest = self._ready.popitem(last=False)
            used -= oldest.size_bytes


def _key(model: Loadable) -> tuple[str, int, str]:
    return model.model_id, model.version, model.graph_sha256
