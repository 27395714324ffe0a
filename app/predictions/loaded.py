"""Models in memory: loaded once, verified by digest, within a budget, the least recently used leaves first.

Those that were used again are kept apart from those that were used once, in four fifths of the budget, and leave after
them: however many models are asked for once, what is in use stays. Source: the segmented LRU of Karedla, Love and
Wherry, Computer 27(3), 1994.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from app.predictions.figures import AllFigures
from app.predictions.measured import Measured
from app.storage import Storage

Key = tuple[str, int, str]
KEPT_SHARE = 0.8


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
    project_id: str = ""


class LoadedModels:
    """The predictors of one API process."""

    def __init__(self, storage: Storage, *, budget_bytes: int) -> None:
        self._storage = storage
        self._budget_bytes = budget_bytes
        self.figures = AllFigures()
        self._lock = threading.Lock()
        self._once: OrderedDict[Key, Measured] = OrderedDict()
        self._again: OrderedDict[Key, Measured] = OrderedDict()
        self._loading: dict[Key, Future[Measured]] = {}

    def find(self, model: Loadable) -> Measured | None:
        """The predictor, if it is in memory."""
        key = _key(model)
        with self._lock:
            predictor = self._again.get(key)
            if predictor is not None:
                self._again.move_to_end(key)
                return predictor
            predictor = self._once.pop(key, None)
            if predictor is not None:
                self._keep(key, predictor)
            return predictor

    def load(self, model: Loadable) -> Measured:
        """The predictor, read from the store if need be; many callers at once read it once.

        Raises: Corrupt when the stored bytes do not match their digest.
        """
        key = _key(model)
        with self._lock:
            if (ready := self._again.get(key) or self._once.get(key)) is not None:
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
        self._drop(lambda key: key[:2] == (model_id, version))

    def __len__(self) -> int:
        """How many models are loaded."""
        with self._lock:
            return len(self._once) + len(self._again)

    @property
    def size_bytes(self) -> int:
        """Memory of the loaded models, as they estimate it."""
        with self._lock:
            return _size_bytes(self._once) + _size_bytes(self._again)

    def _read(self, model: Loadable, key: Key, future: Future[Measured]) -> None:
        try:
            predictor = Measured.load(model.manifest, self._storage.read(model.graph_sha256))
            predictor.figures = self.figures.of(model.project_id, model.reference)
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            future.set_exception(error)
            return
        if model.snapshot is not None:
            # Nobody asks for the weights before these any more.
            self._drop(lambda old: old[0] == model.model_id)
        with self._lock:
            del self._loading[key]
            self._once[key] = predictor
            self._evict()
        future.set_result(predictor)

    def _keep(self, key: Key, predictor: Measured) -> None:
        self._again[key] = predictor
        used = _size_bytes(self._again)
        while used > KEPT_SHARE * self._budget_bytes and len(self._again) > 1:
            oldest, demoted = self._again.popitem(last=False)
            self._once[oldest] = demoted
            used -= demoted.size_bytes

    def _drop(self, leaves: Callable[[Key], bool]) -> None:
        with self._lock:
            for tier in (self._once, self._again):
                for key in [key for key in tier if leaves(key)]:
                    del tier[key]

    def _evict(self) -> None:
        # The newest stays even when it alone is over the budget: it was asked for.
        used = _size_bytes(self._once) + _size_bytes(self._again)
        while used > self._budget_bytes and len(self._once) + len(self._again) > 1:
            _, oldest = (self._once if len(self._once) > 1 else self._again).popitem(last=False)
            used -= oldest.size_bytes


def _key(model: Loadable) -> Key:
    return model.model_id, model.version, model.graph_sha256


def _size_bytes(tier: Mapping[Key, Measured]) -> int:
    return sum(predictor.size_bytes for predictor in tier.values())
