"""What a training tells and is told between two steps: progress, metrics, checkpoints; pause, finish, cancel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.learning import weights
from app.learning.loop import Training
from app.learning.prepared import Emit

PROGRESS_SECONDS = 0.2
KEPT_CHECKPOINTS = 2

Control = Callable[[], str | None]


class Reporter:
    """Passes `poll` and `end_epoch` to a training, and keeps its time.

    Seconds count from `started` on the monotonic clock, plus those of the attempts before.
    """

    def __init__(
        self, emit: Emit, control: Control, folder: Path, *,
        started: float, fingerprint: str, checkpoint_seconds: float, wall_seconds: float | None,
    ) -> None:  # fmt: skip
        self.emit, self.control, self.folder = emit, control, folder
        self.fingerprint = fingerprint
        self.checkpoint_seconds = checkpoint_seconds
        self.wall_seconds = math.inf if wall_seconds is None else wall_seconds
        self.seconds_before = 0.0
        self._started = started
        self._training_started = time.monotonic()
        self._first_step = 0
        self._next_checkpoint = self._training_started + checkpoint_seconds
        self._next_progress = self._training_started
        self._kept: list[Path] = []

    def begin(self, training: Training) -> None:
        """Start the clock of a training, which may have been resumed."""
        self.seconds_before = training.progress.seconds
        self._first_step = training.step
        self._training_started = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds of all attempts so far."""
        return self.seconds_before + time.monotonic() - self._started

    def poll(self, training: Training) -> str | None:
        """Obey, save and report as due; returns why to stop before the next step."""
        command = self.control()
        now = time.monotonic()
        if command == "cancel":
            return "cancelled"
        if command == "pause":
            self.save(training)
            return "paused"
        if command == "finish":
            return "finish"
        if self.seconds_before + now - self._started >= self.wall_seconds:
            return "wall_time"
        if now >= self._next_checkpoint:
            self.save(training)
        if now >= self._next_progress:
            self.report(training)
        return None

    def end_epoch(self, training: Training) -> None:
        """Tell the losses of the epoch that has just ended."""
        progress = training.progress
        values = {"train_loss": progress.train_loss, "validation_loss": progress.validation_loss}
        known = {name: value for name, value in values.items() if value is not None}
        self.emit({"type": "metrics", "epoch": progress.epoch, "step": training.step, "values": known})

    def report(self, training: Training) -> None:
        """Tell how far the training is."""
        now = time.monotonic()
        self._next_progress = now + PROGRESS_SECONDS
        progress, step = training.progress, training.step
        steps_here, seconds_here = step - self._first_step, now - self._training_started
        pace = seconds_here / steps_here if steps_here else None
        running = progress.loss_sum / progress.step_in_epoch if progress.step_in_epoch else progress.train_loss
        rows = len(training.train) * steps_here / training.steps_per_epoch
        self.emit({
            "type": "progress",
            "epoch": progress.epoch,
            "num_epochs": training.params.epochs,
            "step": step,
            "num_steps": training.num_steps,
            "fraction": step / training.num_steps,
            "train_loss": running,
            "validation_loss": progress.validation_loss,
            "best_epoch": progress.best_epoch,
            "rows_per_second": rows / seconds_here if steps_here and seconds_here else None,
            "seconds_elapsed": self.seconds(),
            "seconds_remaining": None if pace is None else pace * (training.num_steps - step),
        })  # fmt: skip

    def save(self, training: Training) -> None:
        """Write a checkpoint, tell it, and remove all but the last two."""
        tensors, state = training.checkpoint()
        state |= {"seconds": self.seconds(), "fingerprint": self.fingerprint}
        path = self.folder / f"checkpoint-{training.step:012d}.safetensors"
        written = weights.write(path, tensors)
        step, epoch = training.step, training.progress.epoch
        self.emit({"type": "checkpoint", **written, "epoch": epoch, "step": step, "state": state})
        self._kept = [kept for kept in self._kept if kept != path] + [path]
        for old in self._kept[:-KEPT_CHECKPOINTS]:
            old.unlink(missing_ok=True)
        self._kept = self._kept[-KEPT_CHECKPOINTS:]
        self._next_checkpoint = time.monotonic() + self.checkpoint_seconds

    def say(self, level: str, message: str, **data: Any) -> None:
        """Tell an event."""
        self.emit({"type": "event", "level": level, "message": message, "data": data})
