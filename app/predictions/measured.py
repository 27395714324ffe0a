"""The predictor as it serves: it counts what it answers, and may show it to a shadow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.learning.notes import Pointer, Warned
from app.learning.runtime import Prediction, Predictor
from app.learning.values import Cells
from app.predictions.figures import Figures

# Until it has answered, a version is taken to need as long for a row as a small network does.
SECONDS_PER_ROW = 1 / 64_000
SHARE_OF_THE_LAST = 0.2

Mirror = Callable[[str, tuple[Any, ...], Any, int, float], None]


class Moment(NamedTuple):
    """Seconds on the clock of the wall, and those that this thread was computing: threads wait for each other."""

    wall: float
    thread: float


def now() -> Moment:
    """This moment."""
    return Moment(time.perf_counter(), time.thread_time())


class Measured(Predictor):
    """A predictor whose answers are counted; what it learned and how it answers is untouched."""

    figures: Figures | None = None
    seconds_per_row = SECONDS_PER_ROW
    # Called with the name of the method, its arguments, the answer, the number of rows and the seconds it took.
    mirror: Mirror | None = None

    def predict_rows(self, rows: Sequence[Mapping[str, object]]) -> list[Prediction]:
        """The answers of `Predictor.predict_rows`."""
        started = now()
        answer = super().predict_rows(rows)
        self._note("predict_rows", (rows,), answer, len(rows), started)
        return answer

    def predict_matrix(self, columns: Sequence[str] | None, data: Sequence[Sequence[object]]) -> list[Prediction]:
        """The answers of `Predictor.predict_matrix`."""
        started = now()
        answer = super().predict_matrix(columns, data)
        self._note("predict_matrix", (columns, data), answer, len(data), started)
        return answer

    def predict_columns(self, columns: Mapping[str, Cells], num_rows: int, pointer: Pointer) -> list[Prediction]:
        """The answers of `Predictor.predict_columns`."""
        started = now()
        answer = super().predict_columns(columns, num_rows, pointer)
        self._note("predict_columns", (columns, num_rows, pointer), answer, num_rows, started)
        return answer

    def answer_columns(
        self, columns: Mapping[str, Cells], num_rows: int, pointer: Pointer
    ) -> tuple[NDArray[np.float64], list[list[Warned]]]:
        """The answers of `Predictor.answer_columns`."""
        started = now()
        answer = super().answer_columns(columns, num_rows, pointer)
        self._note("answer_columns", (columns, num_rows, pointer), answer, num_rows, started)
        return answer

    def expects(self, num_rows: int) -> float:
        """How many seconds an answer to so many rows will take, judged by the last ones."""
        return num_rows * self.seconds_per_row

    def count(self, num_rows: int, seconds: float, busy_seconds: float | None = None) -> None:
        """Count an answer, which may have been computed with others; `busy_seconds` are those of the processor."""
        if num_rows:
            took = seconds if busy_seconds is None else busy_seconds
            self.seconds_per_row += SHARE_OF_THE_LAST * (took / num_rows - self.seconds_per_row)
        if self.figures is not None:
            self.figures.seconds.add(seconds)
            self.figures.rows.add(num_rows)

    def _note(self, method: str, arguments: tuple[Any, ...], answer: Any, num_rows: int, started: Moment) -> None:
        ended = now()
        seconds = ended.wall - started.wall
        self.count(num_rows, seconds, ended.thread - started.thread)
        if self.mirror is not None:
            self.mirror(method, arguments, answer, num_rows, seconds)
