"""An ensemble in the making: members learn folds in parallel, then a few numbers say how much each of them counts.

Rows are divided into folds; a member learns all but one of them and answers that one, for each in turn. So there is
an answer to every row from somebody who has not seen it, and by these the weights are chosen.

Source: stacking by selection, Caruana et al., ICML 2004; bagging of folds as in AutoGluon, Erickson et al., arXiv
2003.06505. Deterministic: yes, unless time runs out; a resumed run repeats the tasks that had not ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.learning import weights
from app.learning.ensemble.blend import Blend, choose_weights
from app.learning.ensemble.crew import Crew, IsOver, Message, Tell
from app.learning.ensemble.members import answers
from app.learning.ensemble.roster import ROSTER, Name
from app.learning.ensemble.tasks import HELD_OUT, Rows, learn_fold, restore
from app.learning.errors import LearningError
from app.learning.weights import Tensors

Floats = NDArray[np.float64]
# Predicted probabilities are float32, so nothing smaller can be told from 0.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
# So many rows tell how far a committee is, well enough to compare it with others.
MEASURED_ROWS = 10_000
# A member that is heard this little is not worth the time it takes in every prediction.
SMALLEST_WEIGHT = 0.03


@dataclass(frozen=True, slots=True)
class _Heard:
    """Who answered which folds, the rows of these folds, and what each said of them."""

    names: list[Name]
    folds: list[int]
    held_out: NDArray[np.intp]
    said: dict[Name, Floats]


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a committee agreed on: its network, the rows that were held out, its raw outputs for them, who counts."""

    network: Blend
    held_out: NDArray[np.intp]
    held_out_BK: Floats
    leaderboard: list[dict[str, Any]]


class Committee:
    """Runs the tasks of members and folds; `finished` holds the tensors of those that have ended, by number."""

    def __init__(self, rows: Rows, members: Sequence[Name], folder: Path, *, processes: int) -> None:
        self.rows, self.members = rows, tuple(members)
        # By folds first: whenever time runs out, every member has learned about as much.
        self.tasks = [(name, fold) for fold in rows.folds for name in members]
        self.finished: dict[int, Tensors] = {}
        self.failures: dict[int, Message] = {}
        self.told: dict[int, Message] = {}
        self._folder, self._processes = folder, processes
        self._began: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._measured: tuple[int, float] | None = None

    @property
    def numbers(self) -> range:
        """The numbers of all tasks."""
        return range(len(self.tasks))

    @property
    def ended(self) -> frozenset[int]:
        """The numbers of the tasks that have ended, well or not."""
        return frozenset(self.finished) | frozenset(self.failures)

    @property
    def is_complete(self) -> bool:
        """Whether everything that could be learned has been."""
        return bool(self.finished) and len(self.ended) == len(self.tasks)

    def seconds_of(self, name: Name) -> list[float]:
        """How long the tasks of a member took that have ended in this process."""
        return [seconds for number, seconds in self._seconds.items() if self.tasks[number][0] == name]

    def run(
        self, poll: Callable[[], str | None], *, may_begin: Callable[[int], bool], ended: Callable[[int], None]
    ) -> str | None:
        """Run what has not ended, calling `ended` for each task; returns what `poll` said, or None.

        Raises: LearningError when every task failed.
        """
        waiting = [number for number in self.numbers if number not in self.ended]

        def begin(number: int) -> bool:
            self._began[number] = time.monotonic()
            return may_begin(number)

        def done(number: int, failure: Message | None) -> None:
            self._seconds[number] = time.monotonic() - self._began[number]
            self._done(number, failure)
            ended(number)

        crew = Crew(self._processes, self._learn)
        reason = crew.run(waiting, hear=self.told.__setitem__, done=done, may_begin=begin, poll=poll)
        if reason not in ("paused", "cancelled") and not self.finished:
            failure = next(iter(self.failures.values()), None)
            message = failure["message"] if failure else "There was not enough time for a single member."
            raise LearningError(message, code=failure["code"] if failure else "out-of-time")
        return reason

    def _learn(self, number: int, tell: Tell, is_over: IsOver) -> None:
        name, fold = self.tasks[number]
        learn_fold(self.rows, ROSTER[name], fold, self._file(number), tell, is_over)

    def _done(self, number: int, failure: Message | None) -> None:
        if failure is not None:
            self.failures[number] = failure
            return
        file = self._file(number)
        self.finished[number] = weights.read(file)
        file.unlink()

    def _file(self, number: int) -> Path:
        return self._folder / f"member-{number}.safetensors"

    def agree(self) -> Agreed:
        """Choose the weights by the rows that were held out, and put the networks of those that count together."""
        results, heard = self._results(), self._heard()
        names, folds, held_out, said = heard.names, heard.folds, heard.held_out, heard.said
        chosen = choose_weights(list(said.values()), lambda p_BK: self._losses(p_BK, held_out))
        losses = {name: float(self._losses(p_BK, held_out).mean()) for name, p_BK in said.items()}
        shares = _without_whispers(dict(zip(names, chosen, strict=True)))
        networks = [restore(self.rows, ROSTER[name], results[name, fold]) for name in shares for fold in folds]
        evenly = [share / len(folds) for share in shares.values() for _ in folds]
        bounds = torch.stack([self.rows.y_B.min(), self.rows.y_B.max()]).float()
        blended: Floats = np.sum([share * said[name] for name, share in shares.items()], axis=0)
        return Agreed(
            Blend(networks, evenly, self.rows.problem.task, bounds).eval(),
            held_out,
            _raw(blended, self.rows.problem.task),
            [
                {"member": name, "loss": loss, "weight": shares.get(name, 0.0)}
                for name, loss in sorted(losses.items(), key=lambda item: item[1])
            ],
        )

    @property
    def loss(self) -> float | None:
        """The mean loss of what those agree on who have ended, for rows that they have not seen; None before.

        Measured once for each that ends, on at most MEASURED_ROWS rows of the folds that are complete.
        """
        if not self.finished:
            return None
        if self._measured is None or self._measured[0] != len(self.finished):
            heard = self._heard()
            chosen = slice(None, None, math.ceil(len(heard.held_out) / MEASURED_ROWS))
            rows, said = heard.held_out[chosen], [p_BK[chosen] for p_BK in heard.said.values()]
            shares = choose_weights(said, lambda p_BK: self._losses(p_BK, rows))
            blended: Floats = np.sum([share * p_BK for share, p_BK in zip(shares, said, strict=True)], axis=0)
            self._measured = len(self.finished), float(self._losses(blended, rows).mean())
        return self._measured[1]

    def _results(self) -> dict[tuple[Name, int], Tensors]:
        return {self.tasks[number]: tensors for number, tensors in self.finished.items()}

    def _heard(self) -> _Heard:
        """What the members that count said of the rows that they had not seen."""
        results = self._results()
        names, folds = self._complete(results)
        held_out = np.flatnonzero(np.isin(self.rows.fold_B, folds))
        said = {name: self._said([results[name, fold] for fold in folds], folds)[held_out] for name in names}
        return _Heard(names, folds, held_out, said)

    def _complete(self, results: Mapping[tuple[Name, int], Tensors]) -> tuple[list[Name], list[int]]:
        """Those who learned the fold that most have learned, and all folds that each of them has."""
        learned = {fold: [name for name in self.members if (name, fold) in results] for fold in self.rows.folds}
        names = max(learned.values(), key=len)
        return names, [fold for fold, others in learned.items() if set(names) <= set(others)]

    def _said(self, results: Sequence[Tensors], folds: Sequence[int]) -> Floats:
        """The answers of one member, each row's by the network that has not seen it."""
        said = np.zeros((len(self.rows.fold_B), self.rows.problem.num_outputs))
        for tensors, fold in zip(results, folds, strict=True):
            said[self.rows.fold_B == fold] = answers(tensors[HELD_OUT], self.rows.problem.task).numpy()
        return said

    def _losses(self, p_BK: Floats, rows: NDArray[np.intp]) -> Floats:
        """How bad each of these answers is: cross-entropy, or the square of the error."""
        y_B = self.rows.y_B.double().numpy()[rows]
        if self.rows.problem.task == "regression":
            squares_B: Floats = (p_BK[:, 0] - y_B) ** 2
            return squares_B
        if self.rows.problem.task == "multiclass":
            right_B: Floats = p_BK[np.arange(len(y_B)), y_B.astype(np.intp)]
            return -np.log(np.maximum(right_B, SMALLEST_PROBABILITY))
        yes_B = np.clip(p_BK[:, 0], SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
        return -(y_B * np.log(yes_B) + (1.0 - y_B) * np.log1p(-yes_B))


def _without_whispers(shares: Mapping[Name, float]) -> dict[Name, float]:
    heard = {name: share for name, share in shares.items() if share >= SMALLEST_WEIGHT}
    return {name: share / sum(heard.values()) for name, share in heard.items()}


def _raw(p_BK: Floats, task: str) -> Floats:
    """Averaged answers as raw outputs, as Blend gives them."""
    if task == "regression":
        return p_BK
    smallest = float(np.finfo(np.float32).tiny)
    if task == "multiclass":
        return np.log(np.maximum(p_BK, smallest))
    return np.log(np.maximum(p_BK, smallest)) - np.log(np.maximum(1.0 - p_BK, smallest))
