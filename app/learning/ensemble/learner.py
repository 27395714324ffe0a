"""An ensemble as a training: what the job steps, watches, interrupts and resumes, whatever goes on in its processes.

It goes through two rounds. In the first it learns the rows outside of the test part, so that the test part measures it.
In the second, of tables small enough, it learns all rows in the same way, and that is what is served: rows are too
precious to be only for measuring. Deterministic: yes, unless time runs out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from app.learning.ensemble.committee import Committee
from app.learning.ensemble.members import num_steps
from app.learning.ensemble.problem import Problem
from app.learning.ensemble.roster import ROSTER
from app.learning.ensemble.tasks import Rows, make_folds
from app.learning.learned import Learned
from app.learning.prepared import AT_RANDOM, Prepared, prepare
from app.learning.prepared import Rows as PartRows
from app.learning.spec import CLASSIFICATION
from app.learning.specs.ensemble import EnsembleParams
from app.learning.weights import Tensors

EndEpoch = Callable[["Ensemble"], None]
Poll = Callable[["Ensemble"], str | None]


class Ensemble:
    """A training of several members in rounds; steps are those of all networks, an epoch is one that has ended."""

    # Each network may, but the many of them take about what was foreseen; and one takes many times as long as another.
    stops_early = False
    is_even = False

    def __init__(self, prepared: Sequence[Prepared], params: EnsembleParams, folder: Path, *, processes: int) -> None:
        self.params = params
        self.prepared = prepared
        self.losses: list[float] = []
        self._seconds_before, self._started = 0.0, time.monotonic()
        self._rounds = [
            Committee(rows_of(each, self.params.folds), self.params.members, folder, processes=processes)
            for each in prepared
        ]

    @property
    def num_rows(self) -> int:
        """The rows that one network learns."""
        return int((self._rounds[0].rows.fold_B != 0).sum())

    @property
    def num_epochs(self) -> int:
        """How many networks there will be."""
        return sum(len(committee.tasks) for committee in self._rounds)

    @property
    def epoch(self) -> int:
        """How many networks have ended."""
        return sum(len(committee.ended) for committee in self._rounds)

    @property
    def num_steps(self) -> int:
        """The most steps that all of them take."""
        return sum(self._steps_of(committee, number) for committee in self._rounds for number in committee.numbers)

    @property
    def step(self) -> int:
        """The steps taken; a network that ended early counts as if it had taken all."""
        return sum(
            self._steps_of(committee, number)
            if number in committee.ended
            else committee.told.get(number, {}).get("step", 0)
            for committee in self._rounds
            for number in committee.numbers
        )

    @property
    def kept_epoch(self) -> int:
        """How many networks there were when the first one could answer; 0 before."""
        return self.epoch if self._rounds[0].finished else 0

    @property
    def kept_step(self) -> int:
        """The step until which they learned."""
        return self.step

    def copy_kept(self) -> nn.Module:
        """Return what those that have ended in the first round agree on."""
        return self._rounds[0].agree().network

    @property
    def best_epoch(self) -> None:
        """Nothing is best of what is averaged."""
        return

    @property
    def epoch_values(self) -> dict[str, float]:
        """How good the first round is so far, by rows that it has not seen: a second one has none to be measured by."""
        loss = self._rounds[0].loss
        return {} if loss is None else {"validation_loss": loss}

    def run(self, poll: Poll, end_epoch: EndEpoch) -> str:
        """Run what has not ended; returns why it ended: all has been learned, time is up, or what `poll` said.

        Raises: LearningError when not one member could learn.
        """
        self._started = time.monotonic()
        for number, committee in enumerate(self._rounds):
            reason = committee.run(
                lambda: poll(self) or ("budget" if self.seconds >= self.params.budget_seconds else None),
                may_begin=self._may_begin(number, committee),
                ended=lambda _: end_epoch(self),
            )
            if reason in ("paused", "cancelled") or (reason is not None and number == 0):
                return reason
        return "members"

    def _may_begin(self, number: int, committee: Committee) -> Callable[[int], bool]:
        """Whether there is time for another network; the first fold of the first round is always begun."""

        def may_begin(task: int) -> bool:
            name, fold = committee.tasks[task]
            spent = committee.seconds_of(name)
            is_first = number == 0 and fold == committee.rows.folds[0]
            return is_first or self.seconds + (max(spent) if spent else 0.0) <= self.params.budget_seconds

        return may_begin

    @property
    def seconds(self) -> float:
        """The time that all attempts have taken."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def seconds_allowed(self) -> float:
        """What is left of the budget."""
        return max(0.0, self.params.budget_seconds - self.seconds)

    @staticmethod
    def _steps_of(committee: Committee, number: int) -> int:
        name, fold = committee.tasks[number]
        return num_steps(ROSTER[name], int((committee.rows.fold_B != fold).sum()))

    def checkpoint(self) -> tuple[Tensors, dict[str, Any]]:
        """Return what all networks that have ended left, as tensors and JSON."""
        tensors = {
            f"{number}.{task}.{name}": tensor
            for number, committee in enumerate(self._rounds)
            for task, found in committee.finished.items()
            for name, tensor in found.items()
        }
        failures = [{str(task): why for task, why in committee.failures.items()} for committee in self._rounds]
        return tensors, {"spent_seconds": self.seconds, "failures": failures}

    def resume(self, tensors: Tensors, state: dict[str, Any]) -> None:
        """Go on after the networks of a checkpoint; those that had not ended are learned from their start."""
        self._seconds_before = state["spent_seconds"]
        for committee, failures in zip(self._rounds, state["failures"], strict=True):
            committee.failures.update({int(task): why for task, why in failures.items()})
        for key, tensor in tensors.items():
            number, task, name = key.split(".", 2)
            self._rounds[int(number)].finished.setdefault(int(task), {})[name] = tensor

    def learned(self, reason: str) -> list[tuple[Learned, Prepared]]:
        """Return what each round learned, the measured one first; a second one counts only if it is whole."""
        return [
            (_learned(committee, prepared, self, reason), prepared)
            for committee, prepared in zip(self._rounds, self.prepared, strict=True)
            if committee.is_complete or committee is self._rounds[0]
        ]


def prepare_rounds(request: Mapping[str, Any], prepared: Prepared, params: EnsembleParams) -> list[Prepared]:
    """Return what is learned in each round: all rows again when they are few, and none of them comes after another."""
    num_rows = sum(map(len, prepared.rows.values()))
    is_again = prepared.plan.split.method in AT_RANDOM and len(prepared.rows["test"]) and num_rows <= params.refit_rows
    return [prepared, prepare(request, lambda message: None, learn_all=True)] if is_again else [prepared]


def rows_of(prepared: Prepared, num_folds: int) -> Rows:
    """All rows to learn from: the training part in folds, or the validation part as the one fold where there is one."""
    train, validation = prepared.rows["train"], prepared.rows["validation"]
    task, seed = prepared.plan.task, prepared.plan.seed
    x_BF = torch.from_numpy(np.concatenate([train.x_BF, validation.x_BF]))
    learned_B = torch.from_numpy(np.concatenate([train.learned_B, validation.learned_B]))
    y_B = learned_B.long() if task == "multiclass" else learned_B.float()
    if len(validation):
        fold_B = np.repeat([-1, 0], [len(train), len(validation)])
    else:
        classes = train.learned_B.astype(np.int64) if task in CLASSIFICATION else None
        fold_B = make_folds(len(train), min(num_folds, len(train)), classes=classes, seed=seed)
    problem = Problem(task, prepared.head.num_outputs)
    return Rows(x_BF, y_B, fold_B, prepared.preparation.layout, problem, seed)


def _learned(committee: Committee, prepared: Prepared, ensemble: Ensemble, reason: str) -> Learned:
    agreed = committee.agree()
    train, validation = prepared.rows["train"], prepared.rows["validation"]
    names = ("x_BF", "learned_B", "values_B")
    both = PartRows(*(np.concatenate([getattr(train, name), getattr(validation, name)]) for name in names))
    history = {
        "networks": len(agreed.network.networks),
        "num_rows": len(train),
        "knows_test": prepared is not ensemble.prepared[0],
        "steps": ensemble.step,
        "stopped": reason,
        "leaderboard": agreed.leaderboard,
        "left_out": sorted({committee.tasks[task][0] for task in committee.failures}),
    }
    return Learned(agreed.network, both.take(agreed.held_out), agreed.held_out_BK, history)
