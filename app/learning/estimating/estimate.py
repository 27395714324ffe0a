"""What a training will take: what runs inside an estimating child. Imports torch.

A sample of the rows goes the whole way of a training. What depends on rows is measured on two samples and extrapolated;
inputs are as wide as they will be. Deterministic: the plan and the disk space are; seconds are not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from app.learning.errors import LearningError, Problem
from app.learning.estimating.fitting import LESS, MORE, SURE, Room, RowsMemory
from app.learning.estimating.footprint import GRAPH_COPIES
from app.learning.estimating.forecast import COMPILED_AT_BEST, COMPILING_SECONDS, SLOWER, Interval, Measured, epochs_of
from app.learning.estimating.members import seconds_within, try_members
from app.learning.estimating.sample import take_sample
from app.learning.estimating.stand_in import widened
from app.learning.estimating.trial import Tried, try_training
from app.learning.memory import Meter, is_refusal
from app.learning.plan import Plan
from app.learning.prepared import Emit, Prepared, plan_of, prepare
from app.learning.reporting import Control
from app.learning.spec import TrainingParams, as_network
from app.learning.specs.ensemble import EnsembleParams
from app.learning.stepping import resolve_batch_size

SAMPLE_ROWS, SAMPLE_CELLS, LEAST_ROWS = 16_384, 1_000_000, 512
# Weights, their gradients and a moment of each: with less no optimizer of ours learns.
LEAST_COPIES, BYTES_PER_PARAMETER = 3, 4
# Where measuring and exporting were not tried.
CLOSING_SECONDS, CLOSING_BYTES = Interval(0.2, 10.0), 100 << 20
# What torch's compiler may take, which is not tried either: twice what it took for a small network.
COMPILING_BYTES = 256 << 20


def run(request: Mapping[str, Any], *, folder: Path, emit: Emit, control: Control) -> None:
    """Estimate the training of a request: ends with a `result`, or with the `error` that the training would end with.

    A result has `timing` and `reason`, one of which is null, and `problems` when the training cannot fit its limits.
    """
    try:
        estimate = Estimate(request, folder)
        emit({"type": "result", **estimate.make()})
    except LearningError as error:
        emit({"type": "error", "code": error.code, "message": error.message, "errors": error.errors})


class Estimate:
    """One estimate: the plan, a sample of the rows, and what is measured on it."""

    def __init__(self, request: Mapping[str, Any], folder: Path) -> None:
        self.started, self.meter = time.monotonic(), Meter()
        self.request, self.folder = request, folder
        self.plan: Plan = plan_of(request)
        self.dataset: Mapping[str, Any] = request["dataset"]
        self.num_rows, self.limit_bytes = int(self.dataset["num_rows"]), int(request["memory_bytes"])
        wanted = SAMPLE_CELLS // max(1, len(self.dataset["columns"]))
        self.sample = take_sample(self.dataset, min(SAMPLE_ROWS, max(LEAST_ROWS, wanted)), folder)
        self.growth = self.num_rows / self.sample["num_rows"]

    def make(self) -> dict[str, Any]:
        """Return what the training will take, or why it cannot fit. Raises: LearningError, as the training would."""
        torch.set_num_threads(int(self.request.get("threads") or 1))
        try:
            return self._make()
        except LearningError as error:
            # What goes wrong with some of the rows may go well with all.
            if self.growth == 1:
                raise
            return _untimed(f"A sample of {self.sample['num_rows']} rows cannot be trained on: {error.message}")

    def _make(self) -> dict[str, Any]:
        prepared, preparing, rows = self._prepare()
        if isinstance(self.plan.params, EnsembleParams):
            return self._ensemble(self.plan.params, prepared, preparing, rows)
        params = as_network(self.plan.spec, self.plan.params)[1]
        num_train = max(1, round(len(prepared.rows["train"]) * self.growth))
        room = Room(self.plan, params, resolve_batch_size(params, num_train), self.num_rows, rows, self.limit_bytes)
        tried = self._try(prepared, room)
        # Steps that take too long are tried with fewer rows: whether theirs would fit is counted.
        if tried is None or (tried.batch_size < room.batch_size and room.is_exceeded()):
            return _untimed("It would run out of memory.", room.problems())
        closing = tried.closing or CLOSING_SECONDS
        measured = Measured(tried.building, preparing, tried.epoch, closing, self.growth, params.compile)
        problems = self._time_problems(measured, params, prepared)
        if problems:
            return _untimed("Its time would be up before it can end.", problems)
        return {"timing": self._timing(prepared, measured, tried, room), "reason": None, "problems": []}

    def _ensemble(
        self, params: EnsembleParams, prepared: Prepared, preparing: float, rows: RowsMemory
    ) -> dict[str, Any]:
        if rows.needed(self.num_rows).low > self.limit_bytes:
            return _untimed("It would run out of memory.", rows.problems(self.num_rows, self.limit_bytes))
        before = self.meter.peak_bytes()
        tried = try_members(prepared, params, growth=self.growth, num_rows=self.num_rows, folder=self.folder)
        processes = min(int(self.request.get("processes") or 1), len(os.sched_getaffinity(0)))
        learning = seconds_within(tried, params, processes=processes, slower=SLOWER)
        around = Measured(0.0, preparing, Interval(0.0, 0.0), CLOSING_SECONDS, self.growth).seconds(0)
        peak = self.meter.peak_bytes()
        memory = Interval(peak, SURE * (before + processes * (peak - before)) + CLOSING_BYTES)
        more = (1 + processes) * MORE * rows.row_bytes * (self.num_rows - self.sample["num_rows"])
        graph = tried.written_bytes
        return {"reason": None, "problems": [], "timing": {
            "seconds": learning.plus(around).to_json(),
            "seconds_all_epochs": tried.seconds.times(SLOWER / processes).to_json(),
            "seconds_earliest_stop": None,
            "seconds_per_epoch": tried.seconds.times(1 / tried.num_networks).to_json(6),
            "epochs": {"low": len(params.members), "high": tried.num_networks},
            "steps": None,
            "memory_bytes": memory.plus(Interval(0.0, more)).to_bytes(),
            "disk_bytes": {"checkpoints": 2 * graph, "weights": graph, "graph": graph, "total": 4 * graph},
            "num_parameters": self.plan.spec.num_parameters(self.plan.layout, self.plan.num_outputs, params),
            "num_rows": self._num_rows(prepared),
            "batch_size": None,
            "sample_rows": self.sample["num_rows"],
            "assumed": [
                *self._assumed(),
                f"An epoch is a network; none is begun that would not end within {params.budget_seconds:g} seconds.",
                f"{processes} networks learn at the same time.",
            ],
        }}  # fmt: skip

    def _prepare(self) -> tuple[Prepared, float, RowsMemory]:
        """Prepare the sample: as wide as all will be, with the seconds and the memory that it took."""
        started = time.monotonic()
        prepared = prepare({**self.request, "dataset": self.sample}, _ignore)
        rows = RowsMemory.measured(self.plan, self.sample["num_rows"], self.meter.peak_bytes())
        seconds = time.monotonic() - started
        return (prepared if self.growth == 1 else widened(prepared, self.plan.layout)), seconds, rows

    def _try(self, prepared: Prepared, room: Room) -> Tried | None:
        """Try the training, or return None when it would not fit."""
        weights = self.plan.spec.num_parameters(self.plan.layout, self.plan.num_outputs, room.params)
        least = weights * BYTES_PER_PARAMETER * LEAST_COPIES
        if room.rows.needed(self.num_rows).low + least > room.limit_bytes:
            return None
        try:
            request = {**self.request, "dataset": self.sample}
            return try_training(
                request, prepared, room.params, room.batch_size, folder=self.folder, started=self.started
            )
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and not is_refusal(str(error)):
                raise
            return None

    def _time_problems(self, measured: Measured, params: TrainingParams, prepared: Prepared) -> list[Problem]:
        fewest, most = epochs_of(params, bool(len(prepared.rows["validation"])))
        limit = float(self.request["wall_seconds"])
        needed = measured.seconds(fewest)
        if needed.low <= limit:
            return []
        fitting = min(most, measured.epochs_within(limit))
        detail = f"{needed.low:.3g} to {needed.high:.3g} seconds are needed; {limit:g} are allowed."
        problems: list[Problem] = [{"pointer": "/limits/wall_seconds", "detail": detail}]
        if fitting:
            problems.append({"pointer": "/params/epochs", "detail": f"At most {fitting} fits."})
        return problems

    def _timing(self, prepared: Prepared, measured: Measured, tried: Tried, room: Room) -> dict[str, Any]:
        params, limit, parts = room.params, float(self.request["wall_seconds"]), self._num_rows(prepared)
        fewest, most = epochs_of(params, bool(parts["validation"]))
        steps = math.ceil(parts["train"] / (room.batch_size * params.accumulate))
        ends = Interval(
            measured.seconds(fewest).low, min(measured.seconds(most).high, limit + measured.seconds(0).high)
        )
        assumed = self._assumed(is_compiled=params.compile)
        if fewest < most:
            assumed.append(f"Early stopping may end it after any epoch from {fewest} on.")
        if measured.seconds(most).high > limit:
            fitting = measured.epochs_within(limit)
            assumed.append(
                f"The limit of {limit:g} seconds lets it train {fitting} epochs at least, and keeps the best."
            )
        return {
            "seconds": ends.to_json(),
            "seconds_all_epochs": measured.seconds(most).to_json(),
            "seconds_earliest_stop": measured.seconds(fewest).to_json() if fewest < most else None,
            "seconds_per_epoch": measured.seconds_per_epoch().to_json(6),
            "epochs": {"low": fewest, "high": most},
            "steps": {"low": fewest * steps, "high": most * steps},
            "memory_bytes": self._memory(tried, room).to_bytes(),
            "disk_bytes": tried.disk_bytes | {"total": sum(tried.disk_bytes.values())},
            "num_parameters": tried.num_parameters,
            "num_rows": parts,
            "batch_size": min(room.batch_size, parts["train"]),
            "sample_rows": self.sample["num_rows"],
            "assumed": assumed + tried.assumed,
        }

    def _memory(self, tried: Tried, room: Room) -> Interval:
        peak, more_rows = self.meter.peak_bytes(), self.num_rows - self.sample["num_rows"]
        closing = 0 if tried.closing else CLOSING_BYTES + GRAPH_COPIES * tried.num_parameters * BYTES_PER_PARAMETER
        low = max(LESS * peak, room.rows.needed(self.num_rows).low)
        compiling = COMPILING_BYTES if room.params.compile else 0
        return Interval(low, SURE * peak + MORE * room.rows.row_bytes * more_rows + closing + compiling)

    def _num_rows(self, prepared: Prepared) -> dict[str, int]:
        return {name: round(len(part) * self.growth) for name, part in prepared.rows.items()}

    def _assumed(self, *, is_compiled: bool = False) -> list[str]:
        said = ["The machine is as busy as it was while this was measured."]
        if self.growth > 1:
            said.append(f"All {self.num_rows} rows are like the {self.sample['num_rows']} of the sample.")
        if is_compiled:
            faster = 1 / COMPILED_AT_BEST
            said.append(
                f"Compiling was not tried: it takes up to {COMPILING_SECONDS:g} seconds, and makes steps up to "
                f"{faster:g} times as fast."
            )
        return said


def _untimed(reason: str, problems: list[Problem] | None = None) -> dict[str, Any]:
    return {"timing": None, "reason": reason, "problems": problems or []}


def _ignore(message: dict[str, Any]) -> None:
    """What a sample has to tell is not about the whole."""
