"""A shadow answers what another version has answered: later, in a thread of its own, and only to be compared.

The request pays for a copy of a small object and an append to a bounded queue. What does not fit into the queue is
counted and dropped; whatever a shadow does, its failure ends here.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.column_types import now
from app.errors import MaasError
from app.learning.errors import InputError
from app.learning.runtime import Predictor, class_key
from app.predictions.comparing import Told, difference, is_same_label
from app.predictions.loaded import Loadable
from app.predictions.measured import Measured

log = logging.getLogger("maas")
MOST_QUEUED, MOST_QUEUED_ROWS = 128, 20_000
KEEP_SECONDS = 0.5
# Between two answers other threads get their turn at once; and where there are processors for both, they come first.
PAUSE_SECONDS, NICENESS = 0.0005, 10
NUM_ERRORS_KEPT = 5

Tally = dict[str, Any]
Row = tuple[Any, Told]


@dataclass(frozen=True, eq=False)
class Shadow:
    """A version in the shadow of an alias; `share` of the requests are shown to it."""

    id: str
    model_id: str
    alias: str
    model: Loadable
    share: float


@dataclass(frozen=True)
class Answered:
    """A request that was answered: how to ask for the same, the answer, and how long it took."""

    shadow: Shadow
    predictor: Predictor
    method: str
    arguments: tuple[Any, ...]
    answer: Any
    num_rows: int
    seconds: float


@dataclass
class Waiting:
    """What is queued, and what has been found since the last time it was kept."""

    requests: queue.SimpleQueue[Answered] = field(default_factory=queue.SimpleQueue)
    num_rows: int = 0
    tallies: dict[Shadow, Tally] = field(default_factory=dict)


class Shadowing:
    """The shadows of one API process. `load` finds a predictor, `keep` adds what was found to what is stored."""

    def __init__(self, load: Callable[[Loadable], Predictor], keep: Callable[[Shadow, Tally], None]) -> None:
        self._load = load
        self._keep = keep
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None

    def mirror(self, shadow: Shadow, predictor: Measured) -> Measured:
        """A predictor that answers the same and shows what it answers to the shadow, or not, by chance."""
        if shadow.share < 1 and random.random() >= shadow.share:
            return predictor
        shown = copy(predictor)
        shown.mirror = partial(self._offer, shadow, predictor)
        return shown

    def close(self) -> None:
        """End the thread, and keep what has been found."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join(5)

    def _offer(
        self, shadow: Shadow, predictor: Predictor, method: str, arguments: tuple[Any, ...], answer: Any,
        num_rows: int, seconds: float,
    ) -> None:  # fmt: skip
        with self._lock:
            waiting = self._waiting
            fits = waiting.requests.qsize() < MOST_QUEUED and waiting.num_rows + num_rows <= MOST_QUEUED_ROWS
            if fits:
                waiting.num_rows += num_rows
            else:
                self._add(shadow, {"num_dropped": 1})
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
                self._thread.start()
        if fits:
            waiting.requests.put(Answered(shadow, predictor, method, arguments, answer, num_rows, seconds))

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        kept = time.monotonic()
        while not self._leaving.is_set():
            try:
                asked = self._waiting.requests.get(timeout=KEEP_SECONDS)
            except queue.Empty:
                asked = None
            if asked is not None:
                found = self._answer(asked)
                with self._lock:
                    self._waiting.num_rows -= asked.num_rows
                    self._add(asked.shadow, found)
                time.sleep(PAUSE_SECONDS)
            if time.monotonic() - kept > KEEP_SECONDS:
                kept = time.monotonic()
                self._keep_all()
        self._keep_all()

    def _answer(self, asked: Answered) -> Tally:
        try:
            shadow = self._load(asked.shadow.model)
            started = time.perf_counter()
            answer = getattr(Predictor, asked.method)(shadow, *asked.arguments)
            seconds = time.perf_counter() - started
            found = _compare(rows_of(asked.predictor, asked.answer), rows_of(shadow, answer))
        except Exception as error:
            return {"num_failed": 1, "errors": [{"at": now().isoformat(), "detail": _detail(error)}]}
        times = {"seconds": asked.seconds, "shadow_seconds": seconds}
        return found | times | {f"max_{name}": value for name, value in times.items()} | {"num_requests": 1}

    def _add(self, shadow: Shadow, found: Tally) -> None:
        tallies = self._waiting.tallies
        tallies[shadow] = merge(tallies.get(shadow, {}), found)

    def _keep_all(self) -> None:
        with self._lock:
            found, self._waiting.tallies = self._waiting.tallies, {}
        for shadow, tally in found.items():
            try:
                self._keep(shadow, tally)
            except Exception:
                log.exception("what a shadow of %s was found to answer is lost", shadow.alias)


def merge(first: Tally, second: Tally) -> Tally:
    """Two tallies as one: sums, of those named so the greatest, of errors the last."""
    merged = dict(first)
    for name, value in second.items():
        if name == "errors":
            merged[name] = [*merged.get(name, []), *value][-NUM_ERRORS_KEPT:]
        elif name.startswith("max_"):
            merged[name] = max(merged.get(name, 0.0), value)
        else:
            merged[name] = merged.get(name, 0) + value
    return merged


def rows_of(predictor: Predictor, answer: Any) -> list[Row]:
    """An answer, in whichever form it was asked for, row by row: a label with probabilities, or a value."""
    if not isinstance(answer, tuple):
        return [(each.get("label"), each["probabilities"] if "label" in each else each["value"]) for each in answer]
    y_BK = answer[0].tolist()
    if not predictor.classes:
        return [(None, value) for (value,) in y_BK]
    keys = [class_key(label) for label in predictor.classes]
    return [(predictor.classes[row.index(max(row))], dict(zip(keys, row, strict=True))) for row in y_BK]


def _compare(rows: list[Row], others: list[Row]) -> Tally:
    found: Tally = {"num_rows": len(rows), "difference": 0.0}
    for (label, told), (other_label, other) in zip(rows, others, strict=True):
        found["difference"] += difference(told, other)
        if isinstance(told, Mapping):
            found["num_labels"] = found.get("num_labels", 0) + 1
            found["num_equal"] = found.get("num_equal", 0) + is_same_label(label, other_label)
    return found


def _detail(error: Exception) -> str:
    if isinstance(error, InputError):
        return f"{error.errors[0]['pointer']}: {error.errors[0]['detail']}"[:300]
    return (error.detail if isinstance(error, MaasError) else f"{type(error).__name__}: {error}")[:300]
