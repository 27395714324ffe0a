"""Predictions that need nothing but memory: a few ordinary rows, a known key, a version that is loaded.

Those that arrive in one turn of the event loop are computed as one batch for each version, without waiting for more.
Everything else, whatever is wrong or unusual, is declined and goes the ordinary way (see web/express.py).
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from app.predictions.loaded import Loadable
from app.predictions.measured import Measured
from app.predictions.prediction_log import PredictionLog
from app.predictions.protocols import native
from app.predictions.service import Served
from app.predictions.timing import server_timing
from app.principal import Principal

log = logging.getLogger("maas")
PATH = re.compile(rb"/v1/models/([A-Za-z0-9@._-]{1,200})/predict")
MAX_PATHS = 4096
MEMBERS = frozenset({"rows", "columns", "data", "id"})


class Connection(Protocol):
    """Where an answer goes."""

    def answer(self, request_id: str, timing: str, body: bytes) -> None:
        """Send it."""

    def decline(self) -> None:
        """Let the request be answered the ordinary way."""


class Taken(NamedTuple):
    """A request whose rows are encoded and wait for their batch; times are of `perf_counter`."""

    connection: Connection
    request_id: str
    id: str
    model: Loadable
    predictor: Measured
    question: dict[str, Any]
    rows: list[list[float]]
    began: float
    taken: float


class Express:
    """The lane of predictions of one API process; all of it runs in the event loop's thread."""

    def __init__(
        self,
        served: Served,
        log: PredictionLog,
        *,
        max_rows: int,
        remembered: Callable[[str], Principal | None],
        parse: Callable[[bytes], dict[str, Any] | None],
        observe: Callable[[float], None],
    ) -> None:
        self._served, self._log, self._remembered = served, log, remembered
        self._parse, self._observe = parse, observe
        self._max_rows = max_rows
        self._references: dict[bytes, str | None] = {}
        self._taken: list[Taken] = []

    def admit(self, path: bytes) -> str | None:
        """The model reference of a path that predicts, or None."""
        if path not in self._references:
            if len(self._references) >= MAX_PATHS:
                self._references.clear()
            match = PATH.fullmatch(path)
            self._references[path] = match[1].decode() if match else None
        return self._references[path]

    def recognise(self, token: str) -> Principal | None:
        """The holder of a key that was looked at a moment ago and may predict."""
        principal = self._remembered(token)
        return principal if principal is not None and principal.may("predict") else None

    def take(
        self, reference: str, caller: Principal, request_id: str, body: bytes, connection: Connection, began: float
    ) -> bool:
        """Whether a request joins the batch of this turn."""
        found = self._served.at_hand(caller, reference)
        question = self._parse(body) if found is not None else None
        if found is None or question is None or not question.keys() <= MEMBERS:
            return False
        model, predictor = found
        rows = predictor.encode_plain(question)
        id = question.get("id", request_id)
        if rows is None or len(rows) > self._max_rows or not native.is_id(id):
            return False
        if not self._taken:
            asyncio.get_running_loop().call_soon(self.flush)
        self._taken.append(
            Taken(connection, request_id, id, model, predictor, question, rows, began, time.perf_counter())
        )
        return True

    def flush(self) -> None:
        """Answer what was taken, a batch for each predictor."""
        taken, self._taken = self._taken, []
        batches: dict[int, list[Taken]] = {}
        for each in taken:
            batches.setdefault(id(each.predictor), []).append(each)
        for batch in batches.values():
            self._answer(batch)

    def _answer(self, batch: list[Taken]) -> None:
        started = time.perf_counter()
        try:
            predictions = batch[0].predictor.answer_plain([row for each in batch for row in each.rows])
        except Exception as error:
            # Each of them alone may be answered, and says what is wrong if not.
            log.error("a batch of %d requests failed", len(batch), exc_info=error)
            predictions = None
        if predictions is None:
            for each in batch:
                each.connection.decline()
            return
        computed = time.perf_counter()
        place = 0
        for each in batch:
            mine = predictions[place : place + len(each.rows)]
            place += len(mine)
            content = native.draw(each.model, mine, each.id)
            drawn = time.perf_counter()
            timing = server_timing(each.taken - each.began, started - each.taken, computed - started, drawn - computed)
            each.predictor.count(len(mine), computed - started)
            each.connection.answer(each.request_id, timing, content)
            self._log.take(each.model, each.request_id, each.question, content)
            self._observe(time.perf_counter() - each.began)
