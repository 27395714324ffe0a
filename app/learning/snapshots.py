"""The best weights so far of a training that goes on, exported so that they can answer predictions.

An export is due a second after the beginning and then as often as checkpoints, but never sooner than 100 times what the
one before took, so all of them together take a hundredth of the time. A network whose graph must be traced is looked at
after a minute for the first time. Nothing here draws from a random generator or touches the network that is trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from app.learning import weights
from app.learning.errors import LearningError
from app.learning.evaluate import Evaluated
from app.learning.evaluation.answered import Answered
from app.learning.evaluation.conformal import fit_conformal
from app.learning.export import Answer, export
from app.learning.graph import write_graph
from app.learning.manifest import make_manifest
from app.learning.prepared import Prepared
from app.learning.reporting import Reporter

FIRST_SECONDS = 1.0
FIRST_TRACED_SECONDS = 60.0
COST_FACTOR = 100


class Snapshots:
    """Exports what a training would keep if it ended now, and tells it as a message `snapshot`."""

    def __init__(self, request: Mapping[str, Any], prepared: Prepared, reporter: Reporter) -> None:
        self._request, self._prepared, self._reporter = request, prepared, reporter
        self._started = time.monotonic()
        is_wanted = request.get("snapshots", True)
        self._next = self._started + min(FIRST_SECONDS, reporter.checkpoint_seconds) if is_wanted else math.inf
        self._told_epoch = 0

    def offer(self, epoch: int, step: int, copy: Callable[[], nn.Module]) -> None:
        """Export a network if that is due and news: the one of this epoch and step, of which `copy` makes a copy."""
        now = time.monotonic()
        if now < self._next or epoch == self._told_epoch:
            return
        try:
            told = self._export(epoch, step, copy())
        except (LearningError, MemoryError, RuntimeError) as error:
            # Without it the training still is what was asked for.
            self._next = math.inf
            self._reporter.say("warning", f"The best weights so far cannot answer predictions: {error}")
            return
        if told:
            self._told_epoch = epoch
            cost = time.monotonic() - now
            self._next = now + cost + max(self._reporter.checkpoint_seconds, COST_FACTOR * cost)

    def _export(self, epoch: int, step: int, network: nn.Module) -> bool:
        x_BF = torch.from_numpy(self._prepared.rows["train"].x_BF)
        answer = Answer(network, self._prepared.plan.task)
        first_traced = self._started + FIRST_TRACED_SECONDS
        if time.monotonic() < first_traced and write_graph(network, answer.task, x_BF.shape[1]) is None:
            self._next = first_traced
            return False
        graph = export(answer, x_BF)
        history = {"epochs_run": epoch, "best_epoch": epoch, "steps": step, "stopped": None}
        manifest = make_manifest(self._request, self._prepared, network, history, self._not_evaluated(answer))
        written = weights.write_bytes(self._reporter.folder / f"snapshot-{step:012d}.onnx", graph)
        self._reporter.emit({"type": "snapshot", **written, "epoch": epoch, "step": step, "manifest": manifest})
        return True

    def _not_evaluated(self, answer: Answer) -> Evaluated:
        """What is measured at the end of a training has not been measured yet: no metrics, no intervals."""
        nothing = np.zeros(0)
        head = self._prepared.head
        answered = Answered(head, nothing.reshape(0, len(head.classes) or 1), nothing, nothing)
        return Evaluated(answer, {}, None, fit_conformal(answered), b"")
