"""Where a training stands, as its reporter sees it between two steps; imports no torch to run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class Progress:
    """Where a training stands; together with the tensors of a checkpoint it is all of its state."""

    epoch: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    best_epoch: int | None = None
    stale_epochs: int = 0
    plateau: float = 1.0
    plateau_loss: float | None = None
    plateau_epochs: int = 0
    seconds: float = 0.0
    threads: int | None = None


class Standing:
    """A training of `num_epochs` epochs at most, each of `num_rows` rows in `steps_per_epoch` steps.

    `losses` are those of the last steps, until a reporter takes them; `scores` those of the last epoch; `rate` and
    `gradient_norm` belong to the last step, the latter only where gradients are clipped.
    """

    is_even = True
    seconds_allowed = math.inf

    def __init__(self, num_rows: int, num_epochs: int, steps_per_epoch: int) -> None:
        self.num_rows, self.num_epochs = num_rows, num_epochs
        self.num_steps = num_epochs * steps_per_epoch
        self.steps_per_epoch = steps_per_epoch
        self.progress = Progress()
        self.stops_early = False
        self._losses: list[float] = []
        self.scores: dict[str, float] = {}
        self.rate: float | None = None
        self.gradient_norm: Tensor | None = None

    @property
    def losses(self) -> list[float]:
        """Return the losses since somebody emptied the list."""
        return self._losses

    @property
    def step(self) -> int:
        """Return how many steps have been taken."""
        return self.progress.epoch * self.steps_per_epoch + self.progress.step_in_epoch

    @property
    def epoch(self) -> int:
        """Return how many epochs are complete."""
        return self.progress.epoch

    @property
    def best_epoch(self) -> int | None:
        """Return the epoch with the least validation loss so far."""
        return self.progress.best_epoch

    @property
    def epoch_values(self) -> dict[str, float]:
        """Return the figures of the last complete epoch, as far as there are any."""
        values = {
            "train_loss": self.progress.train_loss,
            "validation_loss": self.progress.validation_loss,
            "learning_rate": self.rate,
            "gradient_norm": None if self.gradient_norm is None else self.gradient_norm.item(),
        }
        return {name: value for name, value in values.items() if value is not None} | self.scores
