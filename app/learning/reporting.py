"""What a training tells and is told between two steps: progress, curves, checkpoints; pause, finish, cancel, limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from app.learning import weights
from app.learning.curves import Curve, Point
from app.learning.pace import FORWARD_SHARE, Pace
from app.learning.prepared import Emit
from app.learning.weights import Tensors

PROGRESS_SECONDS = 0.2
KEPT_CHECKPOINTS = 2
# What exporting takes, and measuring a few rows.
CLOSING_SECONDS = 0.15

Control = Callable[[], str | None]


class Watched(Protocol):
    """What a reporter needs to know of a training, or of whatever goes on in steps and epochs.

    `losses` are those of the steps since the reporter looked, which empties it. `epoch` counts complete epochs of
    `num_rows` rows; `epoch_values` are the figures of the last one. `stops_early`: it may end before `num_epochs`;
    `is_even`: its epochs take about the same time; `seconds_allowed`: by its own rules it takes no longer from now on.
    """

    @property
    def losses(self) -> list[float]: ...
    @property
    def step(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def num_epochs(self) -> int: ...
    @property
    def best_epoch(self) -> int | None: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def stops_early(self) -> bool: ...
    @property
    def is_even(self) -> bool: ...
    @property
    def seconds_allowed(self) -> float: ...
    @property
    def epoch_values(self) -> Mapping[str, float]: ...
    def checkpoint(self) -> tuple[Tensors, dict[str, Any]]: ...


class Reporter:
    """Passes `poll` and `end_epoch` to a training, and keeps its time.

    Seconds count from `started` on the monotonic clock, plus those of the attempts before. For the estimate of what is
    left there are `validation_rows`, and what follows the last step: `closing_rows` that pass through the network, and
    `closing_seconds` of other work.
    """

    def __init__(
        self, emit: Emit, control: Control, folder: Path, *, started: float, fingerprint: str,
        checkpoint_seconds: float, wall_seconds: float | None, seconds_before: float = 0.0,
        validation_rows: int = 0, closing_rows: int = 0, closing_seconds: float = 0.0,
    ) -> None:  # fmt: skip
        self.emit, self.control, self.folder = emit, control, folder
        self.fingerprint = fingerprint
        self.checkpoint_seconds = checkpoint_seconds
        self.wall_seconds = math.inf if wall_seconds is None else wall_seconds
        self.seconds_before = seconds_before
        self._started = started
        self._validation_rows, self._closing_rows = validation_rows, closing_rows
        self._closing_seconds = CLOSING_SECONDS + closing_seconds
        self._is_finishing = False
        self._steps, self._epochs = Curve(), Curve()
        self._told_loss: float | None = None
        self._steps_per_second: float | None = None
        self._kept: list[Path] = []
        self._closing_since: float | None = None

    def resume(self, state: dict[str, Any]) -> None:
        """Take back what `save` has added to the state of a training, which is left as the training told it."""
        curves = state.pop("curves", {})
        self._steps, self._epochs = (Curve.from_json(curves.get(name)) for name in ("steps", "epochs"))
        self.seconds_before = max(self.seconds_before, state["seconds"])

    def begin(self, training: Watched) -> None:
        """Start the clock of a training, which may have been resumed."""
        now = time.monotonic()
        self.emit({"type": "phase", "phase": "training"})
        self._pace = Pace(self._validation_rows / max(1, training.num_rows), is_even=training.is_even)
        self._first_step = self._told_step = training.step
        self._told_at = now
        self._is_warm = False
        self._next_checkpoint, self._next_progress = now + self.checkpoint_seconds, now

    def seconds(self) -> float:
        """Return the seconds of all attempts so far."""
        return self.seconds_before + time.monotonic() - self._started

    def poll(self, training: Watched) -> str | None:
        """Obey, save and report as due; returns why to stop before the next step."""
        reason = self._obey(training)
        now = time.monotonic()
        if not self._is_warm and training.step > self._first_step:
            self._is_warm = True
            self._pace.step(now, _epochs(training))
        is_late = self.seconds_before + now - self._started >= self.wall_seconds
        if reason is None and is_late and training.step > 0:
            reason = "wall_time"
        if reason is None and now >= self._next_progress:
            self.report(training)
        if reason == "paused" or (reason is None and now >= self._next_checkpoint):
            self.save(training)
        return reason

    def _obey(self, training: Watched) -> str | None:
        command = self.control() or ""
        if command in ("cancel", "pause"):
            return "cancelled" if command == "cancel" else "paused"
        word, _, value = command.partition(" ")
        if word == "limit":
            self.wall_seconds = float(value)
        self._is_finishing |= word == "finish"
        # Weights that nothing has changed are no model: a training that shall end early takes at least one step.
        return "finish" if self._is_finishing and training.step > 0 else None

    def end_epoch(self, training: Watched) -> None:
        """Tell the figures of the epoch that has just ended."""
        self._pace.epoch(time.monotonic(), training.epoch)
        point = self._epochs.add(training.epoch, training.epoch_values)
        if point is not None:
            self._tell_epoch(point, training)

    def end(self, training: Watched) -> None:
        """Tell what is left to tell: no step follows, in no attempt."""
        self.report(training)
        steps, epoch = self._steps.rest(), self._epochs.rest()
        if steps is not None:
            self._tell_steps([steps], training)
        if epoch is not None:
            self._tell_epoch(epoch, training)

    def closing(self, phase: str, training: Watched) -> None:
        """Tell that a phase after the last step begins."""
        self.emit({"type": "phase", "phase": phase})
        if self._closing_since is None:
            self._closing_since = time.monotonic()
        self.report(training)

    def report(self, training: Watched) -> None:
        """Tell how far the training is, and the losses of the steps since the last time."""
        now = time.monotonic()
        self._next_progress = now + PROGRESS_SECONDS
        num_new, seconds_new = training.step - self._told_step, now - self._told_at
        self._tell_losses(training, now)
        rows_per_step = training.num_rows * training.num_epochs / training.num_steps
        if num_new and seconds_new:
            self._steps_per_second = num_new / seconds_new
        left = self._seconds_left(training, now)
        is_certain = not training.stops_early or self._closing_since is not None
        self.emit({
            "type": "progress",
            "epoch": training.epoch,
            "num_epochs": training.num_epochs,
            "step": training.step,
            "num_steps": training.num_steps,
            "fraction": training.step / training.num_steps,
            "train_loss": self._told_loss,
            **{name: training.epoch_values.get(name) for name in ("validation_loss", "learning_rate")},
            "best_epoch": training.best_epoch,
            "rows_per_second": self._steps_per_second and self._steps_per_second * rows_per_step,
            "steps_per_second": self._steps_per_second,
            "seconds_elapsed": self.seconds(),
            "seconds_remaining": left if is_certain else None,
            "seconds_remaining_at_most": left,
            "gpu_memory_bytes": _gpu_memory_bytes(),
        })  # fmt: skip

    def _tell_losses(self, training: Watched, now: float) -> None:
        losses, step = training.losses, training.step
        if losses:
            self._told_loss = sum(losses) / len(losses)
            self._tell_steps(self._steps.extend("loss", step - len(losses) + 1, losses), training)
            losses.clear()
        self._told_step, self._told_at = step, now

    def _tell_steps(self, points: list[Point], training: Watched) -> None:
        if points:
            epochs_per_step = training.num_epochs / training.num_steps
            told = [self._point(each, step=each.position, epoch=each.position * epochs_per_step) for each in points]
            self.emit({"type": "losses", "points": told})

    def _tell_epoch(self, point: Point, training: Watched) -> None:
        step = round(point.position * training.num_steps / training.num_epochs)
        self.emit({"type": "metrics", **self._point(point, step=step, epoch=point.position)})

    def _point(self, point: Point, *, step: int, epoch: float) -> dict[str, Any]:
        return {
            "position": point.position, "step": step, "epoch": epoch, "seconds": self.seconds(),
            "values": point.values, "low": point.low, "high": point.high,
        }  # fmt: skip

    def _seconds_left(self, training: Watched, now: float) -> float | None:
        """Return the seconds until the job ends if nothing ends it sooner, as far as they can be judged."""
        pace = self._pace.seconds_per_epoch(now, _epochs(training))
        if pace is None:
            return None
        closing = self._closing_seconds + pace * FORWARD_SHARE * self._closing_rows / max(1, training.num_rows)
        if self._closing_since is not None:
            return max(0.0, closing - (now - self._closing_since))
        steps = pace * (training.num_epochs - _epochs(training))
        return max(0.0, min(steps, self.wall_seconds - self.seconds(), training.seconds_allowed)) + closing

    def save(self, training: Watched) -> None:
        """Write a checkpoint, tell it, and remove all but the last two."""
        # The curves up to this step belong to it; what an attempt that goes on from here tells begins after it.
        self._tell_losses(training, time.monotonic())
        tensors, state = training.checkpoint()
        state |= {
            "seconds": self.seconds(), "fingerprint": self.fingerprint,
            "curves": {"steps": self._steps.to_json(), "epochs": self._epochs.to_json()},
        }  # fmt: skip
        path = self.folder / f"checkpoint-{training.step:012d}.safetensors"
        written = weights.write(path, tensors)
        self.emit({"type": "checkpoint", **written, "epoch": training.epoch, "step": training.step, "state": state})
        self._kept = [kept for kept in self._kept if kept != path] + [path]
        for old in self._kept[:-KEPT_CHECKPOINTS]:
            old.unlink(missing_ok=True)
        self._kept = self._kept[-KEPT_CHECKPOINTS:]
        self._next_checkpoint = time.monotonic() + self.checkpoint_seconds

    def say(self, level: str, message: str, **data: Any) -> None:
        """Tell an event."""
        self.emit({"type": "event", "level": level, "message": message, "data": data})


def _epochs(training: Watched) -> float:
    """How many epochs are done, the steps of the next one included."""
    return training.step * training.num_epochs / training.num_steps


def _gpu_memory_bytes() -> int | None:
    """The most memory of a GPU that was reserved, or None while none is used; asking does not begin to use one."""
    is_used: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.max_memory_reserved() if is_used else None
