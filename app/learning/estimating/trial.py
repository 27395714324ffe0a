"""A training tried on a sample: steps at the real size of a batch, a checkpoint, measuring, exporting.

Deterministic: the sizes of the files are; seconds are not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.learning import train
from app.learning.estimating.forecast import Interval
from app.learning.estimating.timing import PROBED_ROWS, seconds_per_row, time_epochs
from app.learning.loop import Training
from app.learning.prepared import Prepared
from app.learning.reporting import Reporter
from app.learning.spec import TrainingParams

# For steps; after which nothing more is begun; between checkpoints: none.
STEPS_SECONDS, CLOSING_UNTIL_SECONDS, NEVER_SECONDS = 0.8, 1.8, 1e9
LONGEST_STEP_SECONDS = 0.4
# A large batch may be this much faster than one of a few rows.
AT_BEST = 0.25
NUM_CHECKPOINTS = 2


@dataclass
class Tried:
    """What the sample took: seconds of an epoch and of closing, sizes of files; `assumed` is what was not measured."""

    building: float
    epoch: Interval
    num_parameters: int
    batch_size: int
    closing: Interval | None = None
    disk_bytes: dict[str, int] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)


def try_training(
    request: Mapping[str, Any], prepared: Prepared, params: TrainingParams, batch_size: int, *,
    folder: Path, started: float,
) -> Tried:  # fmt: skip
    """Train for a second, then close, unless steps are so slow that there was no time left."""
    said: list[dict[str, Any]] = []
    building_started = time.monotonic()
    training = _training(prepared, params, batch_size)
    built = time.monotonic()
    seconds = seconds_per_row(training)
    timed_size, assumed = batch_size, []
    if seconds * min(batch_size, len(training.train)) > LONGEST_STEP_SECONDS:
        timed_size = min(batch_size, max(PROBED_ROWS, int(LONGEST_STEP_SECONDS / seconds)))
        assumed.append(f"Steps of {batch_size} rows take too long to be tried: steps of {timed_size} rows were timed.")
        training = _training(prepared, params, timed_size)
    epoch = time_epochs(training, STEPS_SECONDS)
    if timed_size < batch_size:
        epoch = Interval(epoch.low * AT_BEST, epoch.high)
    tried = Tried(
        built - building_started,
        epoch,
        sum(parameter.numel() for parameter in training.network.parameters()),
        timed_size,
        assumed=assumed,
    )
    reporter = Reporter(
        said.append, lambda: None, folder, started=started, fingerprint="",
        checkpoint_seconds=NEVER_SECONDS, wall_seconds=time.monotonic() - started + CLOSING_UNTIL_SECONDS,
    )  # fmt: skip
    reporter.begin(training)
    reporter.save(training)
    if time.monotonic() - built < CLOSING_UNTIL_SECONDS:
        closing_started = time.monotonic()
        train.finish(request, prepared, training, reporter, "epochs")
        took = time.monotonic() - closing_started
        tried.closing = Interval(took, took)
    else:
        assumed.append("There was no time to try measuring and exporting.")
    tried.disk_bytes = _sizes(said)
    return tried


def _training(prepared: Prepared, params: TrainingParams, batch_size: int) -> Training:
    """The training with all its epochs, so that its schedules are what they will be."""
    plan = replace(prepared.plan, params=params.model_copy(update={"batch_size": batch_size}))
    return train.make_training(replace(prepared, plan=plan))


def _sizes(said: list[dict[str, Any]]) -> dict[str, int]:
    saved = next(message for message in said if message["type"] == "checkpoint")
    files: dict[str, Any] = next((message["files"] for message in said if message["type"] == "result"), {})
    sizes = {name: int(file["size_bytes"]) for name, file in files.items()}
    return {"checkpoints": NUM_CHECKPOINTS * int(saved["size_bytes"])} | sizes
