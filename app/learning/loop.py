"""The training loop: deterministic, interruptible at every step, resumable bit by bit.

The order of the rows is a function of (seed, epoch), the learning rate of the step; dropout draws from torch's
generator, whose state is part of a checkpoint. So a resumed run ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from app.learning import weights
from app.learning.advice import after_divergence
from app.learning.batches import Data
from app.learning.errors import Diverged, LearningError
from app.learning.hardware import CPU, Hardware
from app.learning.losses import Loss
from app.learning.schedules import learning_rate, regularization_share
from app.learning.scores import Score, scored_every
from app.learning.standing import Progress, Standing
from app.learning.stepping import Stepper, below
from app.learning.training_params import EarlyStopping, TrainingParams
from app.learning.weights import Tensors

BEST = "best."
# To read a loss is to wait for the step that computes it: nothing on a CPU, an idle device on a GPU.
STEPS_PER_LOOK = {"cpu": 1, "cuda": 32}

Poll = Callable[["Training"], str | None]
EndEpoch = Callable[["Training"], None]


class Training(Standing):
    """One training of one network. `run` returns why it ended; `restore_best` then picks the weights."""

    def __init__(
        self, network: nn.Module, params: TrainingParams, loss: Loss, validation_loss: Loss, *,
        train: Data, validation: Data | None, seed: int, score: Score | None = None, hardware: Hardware = CPU,
    ) -> None:  # fmt: skip
        self.params, self.loss, self.validation_loss = params, loss, validation_loss
        self.train, self.validation, self.seed = train, validation, seed
        self.stepper = Stepper(network, params, loss, train, seed=seed, hardware=hardware)
        super().__init__(len(train), params.epochs, self.stepper.steps_per_epoch)
        self._unread: list[Tensor] = []
        self._score = score
        self._best: Tensors | None = None
        self._stopping: EarlyStopping | None = params.early_stopping if validation else None
        self.stops_early = self._stopping is not None

    @property
    def network(self) -> nn.Module:
        """Return the network that is trained."""
        return self.stepper.network

    @property
    def hardware(self) -> Hardware:
        """Return what it is trained on."""
        return self.stepper.hardware

    @property
    def losses(self) -> list[float]:
        """Return the losses of all steps since somebody emptied the list."""
        self._read_losses()
        return self._losses

    def run(self, poll: Poll, end_epoch: EndEpoch) -> str:
        """Train until all epochs are done, early stopping, or `poll`, called before every step, says why not.

        Raises: Diverged at the step whose loss is not finite.
        """
        try:
            while self.progress.epoch < self.params.epochs:
                reason = self._run_epoch(poll)
                if reason:
                    return reason
                self._finish_epoch()
                end_epoch(self)
                if self._stopping and self.progress.stale_epochs >= self._stopping.patience:
                    return "early_stopping"
            return "epochs"
        finally:
            torch.set_flush_denormal(False)

    def _run_epoch(self, poll: Poll) -> str | None:
        # Numbers below 1e-38, of which a network that has learned its task is full, take processors a hundred times as
        # long as 0. Each time anew, because a session of ONNX Runtime that is opened in between undoes it.
        torch.set_flush_denormal(True)
        self.stepper.begin(self.progress.epoch)
        steps_per_look = STEPS_PER_LOOK[self.hardware.device.type]
        while self.progress.step_in_epoch < self.steps_per_epoch:
            reason = poll(self)
            if reason:
                return reason
            self.rate = learning_rate(self.params, self.step, self.steps_per_epoch, self.progress.plateau)
            share = regularization_share(self.params, self.step / self.num_steps)
            self._unread.append(self.stepper.take(self.step, self.rate, share))
            self.progress.step_in_epoch += 1
            if len(self._unread) >= steps_per_look:
                self._read_losses()
        return None

    def _read_losses(self) -> None:
        """Add the losses of the last steps to the sum of the epoch, and to those that are told.

        Raises: Diverged at the first step whose loss is not finite.
        """
        unread, self._unread = self._unread, []
        for step, loss in enumerate(unread, start=self.step - len(unread) + 1):
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value}", step)
            self.progress.loss_sum += value
            self._losses.append(value)

    def _diverged(self, what: str, step: int) -> Diverged:
        suggested, next_step = after_divergence(self.params)
        epoch = max(0, step - 1) // self.steps_per_epoch + 1
        details = {"step": step, "epoch": epoch, "suggested": suggested}
        message = f"Training diverged: {what} at step {step} (epoch {epoch})."
        return Diverged(message, pointer="/params/learning_rate", details=details, next_step=next_step)

    def _finish_epoch(self) -> None:
        self._read_losses()
        progress, self.gradient_norm = self.progress, self.stepper.gradient_norm
        progress.train_loss = progress.loss_sum / self.steps_per_epoch
        progress.validation_loss = self._measure()
        progress.epoch, progress.step_in_epoch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self._track_best()
        if self.params.schedule == "plateau":
            self._track_plateau(progress.validation_loss if self.validation else progress.train_loss)

    def _measure(self) -> float | None:
        """Return the loss on the validation part, or None without one or when it is not finite."""
        if self.validation is None:
            return None
        loss, scored_BK = self.stepper.measure(self.validation_loss, self.validation)
        if self._score is not None:
            self.scores = self._score(scored_BK, self.validation.y_B[:: scored_every(len(self.validation))])
        return loss if math.isfinite(loss) else None

    def _track_best(self) -> None:
        progress = self.progress
        least = self._stopping.min_delta if self._stopping else 0.0
        loss = progress.validation_loss
        if loss is None or (progress.best_loss is not None and loss >= progress.best_loss - least):
            progress.stale_epochs += 1
            return
        progress.best_loss, progress.best_epoch, progress.stale_epochs = loss, progress.epoch, 0
        if self._stopping:
            # Not beside the ones before: weights may be most of the memory that there is.
            self._best = None
            self._best = {name: tensor.clone() for name, tensor in self.stepper.measured().state_dict().items()}

    def _track_plateau(self, loss: float | None) -> None:
        progress = self.progress
        if loss is not None and (progress.plateau_loss is None or loss < progress.plateau_loss):
            progress.plateau_loss, progress.plateau_epochs = loss, 0
            return
        progress.plateau_epochs += 1
        if progress.plateau_epochs >= self.params.decay_epochs:
            progress.plateau, progress.plateau_epochs = progress.plateau * self.params.decay_factor, 0

    @property
    def kept_epoch(self) -> int:
        """Return the epoch whose weights would be kept if it ended now: the best with early stopping, else the last."""
        return self.progress.epoch if self._best is None else self.progress.best_epoch or 0

    @property
    def kept_step(self) -> int:
        """Return the step at the end of that epoch."""
        return self.kept_epoch * self.steps_per_epoch

    def copy_kept(self) -> nn.Module:
        """Return a network with the weights of that epoch, apart from the one that is trained."""
        network = deepcopy(self.network)
        network.load_state_dict(self.kept())
        return network

    def kept(self) -> Tensors:
        """Return the weights of that epoch."""
        return self.stepper.measured().state_dict() if self._best is None else self._best

    def restore_best(self) -> int:
        """Leave the weights to keep in the network, on the CPU, in evaluation mode; returns the epoch they are from.

        What only more steps would need is let go. Raises: Diverged when the weights are not finite.
        """
        kept_epoch = self.kept_epoch
        self.network.load_state_dict(self.kept())
        self._check_finite()
        self._best = None
        self.stepper.release()
        self.network.to(CPU.device).eval()
        return kept_epoch

    def _check_finite(self) -> None:
        if not all(map(weights.is_finite, self.network.state_dict().values())):
            raise self._diverged("the weights were not finite", self.step)

    def checkpoint(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all state between two steps, as tensors and JSON.

        Raises: Diverged when the last step has ruined the weights: a checkpoint is a state from which one can go on.
        """
        self._read_losses()
        self._check_finite()
        best = {BEST + name: tensor.cpu() for name, tensor in (self._best or {}).items()}
        return self.stepper.tensors() | best, asdict(self.progress)

    def resume(self, tensors: Tensors, state: dict[str, Any]) -> None:
        """Continue from a checkpoint of the same network, data and parameters.

        Raises: LearningError when it is a checkpoint of something else.
        """
        try:
            self.progress = Progress(**state)
            self.stepper.restore(tensors)
        except (KeyError, TypeError, RuntimeError) as error:
            raise LearningError("The checkpoint belongs to another training.", code="checkpoint-mismatch") from error
        self._best = below(BEST, tensors) or None
