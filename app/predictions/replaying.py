"""Logged rows answered once more, by another version: block by block, compared with what was answered then."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool

from app.database import Sessions
from app.errors import Conflict
from app.learning.errors import InputError
from app.learning.runtime import Predictor
from app.prediction_tables import LoggedRow
from app.predictions import log_service
from app.predictions.comparing import difference, is_same_label, judge
from app.predictions.loaded import Loadable
from app.predictions.replay_schemas import (
    DifferentRead,
    MissingRead,
    RefusedRead,
    ReplayCreate,
    ReplayRead,
    ScoreRead,
    TruthsRead,
)
from app.predictions.room import Room

# Between two blocks other predictions get their turn.
BLOCK_ROWS = 1000


class Replay:
    """One version on its way through the log of its model, newest rows first, and what was found until now."""

    def __init__(self, model: Loadable, predictor: Predictor, asked: ReplayCreate) -> None:
        self._model, self._predictor, self._asked = model, predictor, asked
        self._after: str | None = None
        self._num_rows = self._num_answered = self._num_equal = self._num_refused = 0
        self._differences: list[float] = []
        self._judged: list[tuple[float, float]] = []
        self._missing: Counter[str] = Counter()
        self._different: list[DifferentRead] = []
        self._refused: list[RefusedRead] = []

    async def run(self, room: Room, sessions: Sessions, *, block_rows: int) -> ReplayRead:
        """Answer as many rows as were asked for, at most `block_rows` at a time, each time when there is room.

        Raises: Conflict when log and version answer different things; Unavailable when there is no room.
        """
        left = self._asked.limit
        while left > 0:
            num_rows = min(block_rows, left)
            # However few rows it has, a block reads the database, which is for a thread.
            found = await room.compute(math.inf, self._add_block, sessions, num_rows)
            left = left - found if found == num_rows else 0
        return await run_in_threadpool(self._show, sessions)

    def _add_block(self, sessions: Sessions, num_rows: int) -> int:
        model_id, version = self._model.model_id, self._asked.logged_version
        with sessions.begin() as session:
            rows = log_service.list_rows(session, model_id, limit=num_rows, after=self._after, version=version)
        rows = rows[:num_rows]
        if rows:
            self._after = rows[-1].id
            for row, answer in zip(rows, self._answer(rows), strict=True):
                self._add(row, answer)
        return len(rows)

    def _answer(self, rows: Sequence[LoggedRow]) -> Sequence[Any]:
        """A prediction or an InputError for each row; the method is that of the base class, which counts nothing."""
        try:
            return Predictor.predict_rows(self._predictor, [row.inputs for row in rows])
        except InputError as error:
            # Alone, each of them is answered, or says what is wrong with it.
            return [error] if len(rows) == 1 else [self._answer([row])[0] for row in rows]

    def _add(self, row: LoggedRow, answer: Any) -> None:
        if ("value" in row.output) == bool(self._predictor.classes):
            mine, logged = ("classes", "values") if self._predictor.classes else ("values", "classes")
            detail = f"{self._model.reference} answers {mine}, but version {row.version} was logged with {logged}"
            raise Conflict(f"{detail}; say with `logged_version` whose rows are meant.")
        self._num_rows += 1
        self._missing.update(name for name in self._predictor.preparation.input_names if name not in row.inputs)
        if isinstance(answer, InputError):
            self._num_refused += 1
            if len(self._refused) < self._asked.num_shown:
                self._refused.append(_refused(row, answer))
            return
        self._num_answered += 1
        apart = _difference(row.output, answer)
        if apart is not None:
            self._differences.append(apart)
        if row.correct is not None or row.squared_error is not None:
            self._judged.append((_figure(row.correct, row.squared_error), _figure(*judge(answer, row.truth))))
        if _is_same(row.output, answer):
            self._num_equal += 1
        else:
            self._keep(_different(row, answer, apart))

    def _keep(self, different: DifferentRead) -> None:
        self._different.append(different)
        if len(self._different) > 2 * self._asked.num_shown:
            self._drop_small_ones()

    def _drop_small_ones(self) -> None:
        self._different.sort(key=lambda each: -(each.difference or 0.0))
        del self._different[self._asked.num_shown :]

    def _show(self, sessions: Sessions) -> ReplayRead:
        with sessions.begin() as session:
            rule = log_service.find_rule(session, self._model.model_id)
        left_out = set(rule.leave_out) if rule is not None else set()
        self._drop_small_ones()
        differences, num_answered = self._differences, self._num_answered
        return ReplayRead(
            model=self._model.reference,
            logged_version=self._asked.logged_version,
            num_rows=self._num_rows,
            num_answered=num_answered,
            num_refused=self._num_refused,
            equal_labels=self._num_equal / num_answered if num_answered and self._predictor.classes else None,
            mean_absolute_difference=math.fsum(differences) / len(differences) if differences else None,
            max_absolute_difference=max(differences, default=None),
            truths=self._truths(),
            missing=[
                MissingRead(column=name, num_rows=self._missing[name], left_out=name in left_out)
                for name in self._predictor.preparation.input_names
                if self._missing[name]
            ],
            different=self._different,
            refused=self._refused,
        )

    def _truths(self) -> TruthsRead | None:
        if not self._judged:
            return None
        logged, replayed = (self._score(figures) for figures in zip(*self._judged, strict=True))
        return TruthsRead(num_rows=len(self._judged), logged=logged, replayed=replayed)

    def _score(self, figures: Sequence[float]) -> ScoreRead:
        mean = math.fsum(figures) / len(figures)
        if self._predictor.classes:
            return ScoreRead(accuracy=mean, rmse=None)
        return ScoreRead(accuracy=None, rmse=math.sqrt(mean))


def _figure(correct: int | None, squared_error: float | None) -> float:
    return float(squared_error or 0.0) if correct is None else float(correct)


def _is_same(logged: dict[str, Any], answer: Any) -> bool:
    if "value" in logged:
        return bool(logged["value"] == answer["value"])
    return is_same_label(logged["label"], answer["label"])


def _difference(logged: dict[str, Any], answer: Any) -> float | None:
    if "value" in logged:
        return difference(float(logged["value"]), answer["value"])
    # Options of the request may have kept probabilities, or some of them, out of its answer.
    told = logged.get("probabilities")
    return difference(told, {key: answer["probabilities"].get(key, 0.0) for key in told}) if told else None


def _different(row: LoggedRow, answer: Any, apart: float | None) -> DifferentRead:
    member = "value" if "value" in answer else "label"
    return DifferentRead(
        id=row.id,
        request=row.request_id,
        row=row.row,
        version=row.version,
        logged=row.output[member],
        replayed=answer[member],
        difference=apart,
        truth=row.truth,
    )


def _refused(row: LoggedRow, error: InputError) -> RefusedRead:
    first = error.errors[0]
    pointer = first["pointer"].removeprefix("/rows/0") or "/"
    return RefusedRead(id=row.id, request=row.request_id, row=row.row, pointer=pointer, detail=first["detail"])
