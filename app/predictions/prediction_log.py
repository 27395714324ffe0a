"""Answers on their way into the log: taken beside the hot path, written by a thread, dropped rather than waited for.

Whoever answers hands over the request and the finished answer: a look into a dictionary where the model is not logged,
one more reference in a queue where it is. All other work is the thread's. The queue is bounded in rows; what does not
fit, or cannot be written, is counted in `maas_prediction_log_rows_total` and gone.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter

from app.column_types import now
from app.database import Sessions
from app.ids import new_id
from app.learning.runtime import Prediction
from app.predictions import log_service
from app.predictions.loaded import Loadable
from app.predictions.log_service import Rule
from app.predictions.protocols import native

log = logging.getLogger("maas")
WRITE_SECONDS = 0.5
MAX_ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with its answer, as the client got it."""

    model: Loadable
    rule: Rule
    request_id: str
    body: dict[str, Any]
    content: bytes
    num_rows: int


class PredictionLog:
    """The log of one API process; its rules are looked up anew twice a second."""

    def __init__(
        self, sessions: Sessions, read_sessions: Sessions, *, max_rows: int, registry: CollectorRegistry
    ) -> None:
        self._sessions, self._read_sessions, self._max_rows = sessions, read_sessions, max_rows
        self._rules: dict[str, Rule] = {}
        self._lock = threading.Lock()
        self._queue: list[Answered] = []
        self._num_queued = 0
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        help_text = "Rows that the prediction log was given, by what became of them."
        self._rows = Counter("maas_prediction_log_rows", help_text, ["outcome"], registry=registry)
        for outcome in ("written", "dropped"):
            self._rows.labels(outcome)

    def take(self, model: Loadable, request_id: str, body: dict[str, Any], content: bytes) -> None:
        """Log a request in native form and its native answer, if its model asks for that; never waits."""
        rule = self._rule_of(model)
        if rule is not None:
            self._put(model, rule, request_id, body, content)

    def take_undrawn(
        self, model: Loadable, request_id: str, told: Callable[[], tuple[dict[str, Any], list[Prediction]]]
    ) -> None:
        """Log a request of another dialect; `told` makes the native request for the same rows, and its predictions."""
        rule = self._rule_of(model)
        if rule is not None:
            body, predictions = told()
            self._put(model, rule, request_id, body, native.draw(model, predictions, request_id))

    def _rule_of(self, model: Loadable) -> Rule | None:
        """The rule of a version if this request is among those that it wants."""
        rule = self._rules.get(model.model_id) if model.snapshot is None else None
        return rule if rule is not None and random.random() < rule.sample else None

    def _put(self, model: Loadable, rule: Rule, request_id: str, body: dict[str, Any], content: bytes) -> None:
        num_rows = len(body["rows"] if "rows" in body else body["data"])
        with self._lock:
            fits = self._num_queued + num_rows <= self._max_rows
            if fits:
                self._queue.append(Answered(model, rule, request_id, body, content, num_rows))
                self._num_queued += num_rows
        if not fits:
            self._rows.labels("dropped").inc(num_rows)

    def start(self) -> None:
        """Begin to write."""
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what was taken, and end."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join()

    def flush(self) -> None:
        """Write what was taken until now."""
        while True:
            with self._lock:
                batch = self._queue[:MAX_ROWS_AT_ONCE]
                del self._queue[:MAX_ROWS_AT_ONCE]
            if not batch:
                return
            rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for each in batch:
                rows[each.model.model_id] += _rows_of(each)
            self._write(rows)
            with self._lock:
                self._num_queued -= sum(each.num_rows for each in batch)

    def _run(self) -> None:
        while not self._leaving.wait(WRITE_SECONDS):
            self.refresh()
            self.flush()
        self.flush()

    def refresh(self) -> None:
        """Look the rules up."""
        try:
            with self._read_sessions.begin() as session:
                self._rules = log_service.rules(session)
        except Exception:
            log.exception("the rules of the prediction log could not be read; those known stay")

    def _write(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        num_rows = sum(map(len, rows.values()))
        num_written = 0
        try:
            num_written = log_service.write(self._sessions, rows)
        except Exception:
            log.exception("%d rows of the prediction log could not be written", num_rows)
        self._rows.labels("written").inc(num_written)
        self._rows.labels("dropped").inc(num_rows - num_written)


def _rows_of(answered: Answered) -> list[dict[str, Any]]:
    answer = orjson.loads(answered.content)
    request_id = answer.get("id", answered.request_id)
    logged_at = now()
    return [
        {
            "id": new_id("log"),
            "model_id": answered.model.model_id,
            "version": answered.model.version,
            "request_id": _text(request_id),
            "row": row,
            "inputs": {_text(k): _storable(v) for k, v in inputs.items() if k not in answered.rule.leave_out},
            "output": _cleaned(output),
            "created_at": logged_at,
        }
        for row, (inputs, output) in enumerate(zip(_inputs(answered), answer["predictions"], strict=True))
    ]


def _storable(value: Any) -> Any:
    """A cell as every database takes it; what is no plain value, which only unknown columns can hold, as JSON text."""
    if isinstance(value, float) and not math.isfinite(value):
        # Files have such numbers, JSON has none: the model took it for missing, or did not know the column.
        return None
    if isinstance(value, list | dict):
        value = json.dumps(value)
    return _text(value) if isinstance(value, str) else value


def _cleaned(value: Any) -> Any:
    """An answer as every database takes it: its warnings repeat names that the client has made up."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return {_text(k): _cleaned(v) for k, v in value.items()} if isinstance(value, dict) else value


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _inputs(answered: Answered) -> Sequence[dict[str, Any]]:
    body = answered.body
    if "rows" in body:
        rows: list[dict[str, Any]] = body["rows"]
        return rows
    columns = answered.model.manifest["preparation"]["columns"]
    names = body.get("columns") or [column["name"] for column in columns if column["kind"] != "left_out"]
    return [dict(zip(names, row, strict=True)) for row in body["data"]]
