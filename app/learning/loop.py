"""The training loop: deterministic, interruptible at every step, resumable bit by bit.

Shapes: x_BF inputs, y_B targets, w_B weights of the rows or None. The order of the rows is a function of
(seed, epoch), the learning rate of the step; dropout draws from torch's generator, whose state is part of a
checkpoint. So a resumed run ends with the weights of an undisturbed one. A step may gather the gradients of several
batches; nothing of a step that was not finished is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.learning.advice import after_divergence
from app.learning.averaging import Average
from app.learning.errors import Diverged, LearningError
from app.learning.losses import Loss
from app.learning.optimizers import make_optimizers, restore_state, set_rate, state_tensors
from app.learning.schedules import learning_rate, regularization_share
from app.learning.scores import SCORED_ROWS, Score
from app.learning.spec import EarlyStopping, TrainingParams
from app.learning.standing import Progress, Standing
from app.learning.weights import Tensors

STREAM = 0x0E0C
EVALUATION_ROWS = 8192
NETWORK, AVERAGE, BEST, GENERATOR = "network.", "average.", "best.", "generator"
SMALLEST_BATCH, LARGEST_BATCH, STEPS_WANTED = 32, 1024, 32


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of one part: inputs, targets, and weights where classes are balanced."""

    x_BF: Tensor
    y_B: Tensor
    w_B: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y_B)

    def order(self, order_B: Tensor) -> Data:
        """Return the rows in this order, contiguous in memory."""
        w_B = None if self.w_B is None else self.w_B[order_B]
        return Data(self.x_BF[order_B], self.y_B[order_B], w_B)

    def part(self, start: int, end: int) -> Data:
        """Return a view of the rows from start to end."""
        w_B = None if self.w_B is None else self.w_B[start:end]
        return Data(self.x_BF[start:end], self.y_B[start:end], w_B)


Poll = Callable[["Training"], str | None]
EndEpoch = Callable[["Training"], None]


def resolve_batch_size(params: TrainingParams, num_rows: int) -> int:
    """Return the rows of a batch: the power of two nearest to 1/32 of the rows, within 32 and 1024, for auto.

    null is all rows, or as many as let `accumulate` batches hold them all.
    """
    if params.batch_size is None:
        return math.ceil(num_rows / params.accumulate)
    if params.batch_size == "auto":
        wanted = 1 << round(math.log2(max(1.0, num_rows / STEPS_WANTED)))
        return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)
    return params.batch_size


def epoch_order(seed: int, epoch: int, num_rows: int) -> Tensor:
    """Return the order of the rows in this epoch."""
    return torch.from_numpy(np.random.default_rng([STREAM, seed, epoch]).permutation(num_rows))


class Training(Standing):
    """One training of one network. `run` returns why it ended; `restore_best` then picks the weights."""

    def __init__(
        self, network: nn.Module, params: TrainingParams, loss: Loss, validation_loss: Loss, *,
        train: Data, validation: Data | None, seed: int, score: Score | None = None,
    ) -> None:  # fmt: skip
        self.network, self.params, self.loss, self.validation_loss = network, params, loss, validation_loss
        self.train, self.validation, self.seed = train, validation, seed
        averages = params.ema_decay is not None or params.optimizer == "schedule_free"
        self.average = Average(network) if averages else None
        self.optimizers = make_optimizers(network, params, self.average)
        self._dropouts = [(module, module.p) for module in network.modules() if isinstance(module, nn.Dropout)]
        self.batch_size = resolve_batch_size(params, len(train))
        super().__init__(len(train), params.epochs, math.ceil(len(train) / (self.batch_size * params.accumulate)))
        self._score = score
        self._best: Tensors | None = None
        self._stopping: EarlyStopping | None = params.early_stopping if validation else None
        self.stops_early = self._stopping is not None

    def run(self, poll: Poll, end_epoch: EndEpoch) -> str:
        """Train until all epochs are done, early stopping, or `poll`, called before every step, says why not.

        Raises: Diverged at the step whose loss is not finite.
        """
        while self.progress.epoch < self.params.epochs:
            reason = self._run_epoch(poll)
            if reason:
                return reason
            self._finish_epoch()
            end_epoch(self)
            if self._stopping and self.progress.stale_epochs >= self._stopping.patience:
                return "early_stopping"
        return "epochs"

    def _run_epoch(self, poll: Poll) -> str | None:
        num_rows, steps = len(self.train), self.steps_per_epoch
        # The mean over all rows does not depend on their order, so a full batch needs no shuffling.
        data = self.train if steps == 1 else self.train.order(epoch_order(self.seed, self.progress.epoch, num_rows))
        self.network.train()
        for index in range(self.progress.step_in_epoch, steps):
            reason = poll(self)
            if reason:
                return reason
            self._take_step(data.part(index * num_rows // steps, (index + 1) * num_rows // steps))
        return None

    def _take_step(self, rows: Data) -> None:
        progress = self.progress
        self._follow_schedules()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = self._gather_gradients(rows)
        progress.loss_sum += loss
        self.losses.append(loss)
        if self.params.gradient_clip is not None:
            self.gradient_norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.params.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None and self.params.ema_decay is not None:
            self.average.follow(self.params.ema_decay, self.step)
        progress.step_in_epoch += 1

    def _follow_schedules(self) -> None:
        share = regularization_share(self.params, self.step / self.num_steps)
        self.rate = learning_rate(self.params, self.step, self.steps_per_epoch, self.progress.plateau)
        set_rate(self.optimizers, self.rate, share)
        for module, full_p in self._dropouts:
            module.p = full_p * share

    def _gather_gradients(self, rows: Data) -> float:
        """Add up the gradients of the mean loss over the rows of a step, batch by batch; returns that loss."""
        num_rows, num_batches = len(rows), math.ceil(len(rows) / self.batch_size)
        total = 0.0
        for index in range(num_batches):
            batch = rows.part(index * num_rows // num_batches, (index + 1) * num_rows // num_batches)
            loss = self.loss(self.network(batch.x_BF), batch.y_B, batch.w_B)
            if num_batches > 1:
                loss = loss * (len(batch) / num_rows)
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value}")
            loss.backward()  # type: ignore[no-untyped-call]
            total += value
        return total

    def _diverged(self, what: str) -> Diverged:
        suggested, next_step = after_divergence(self.params)
        step, epoch = self.step + 1, self.progress.epoch + 1
        details = {"step": step, "epoch": epoch, "suggested": suggested}
        message = f"Training diverged: {what} at step {step} (epoch {epoch})."
        return Diverged(message, pointer="/params/learning_rate", details=details, next_step=next_step)

    def _finish_epoch(self) -> None:
        progress = self.progress
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
        network = self.measured().eval()
        total, num_rows = 0.0, len(self.validation)
        every = -(-num_rows // SCORED_ROWS)
        scored: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, num_rows, EVALUATION_ROWS):
                part = self.validation.part(start, min(start + EVALUATION_ROWS, num_rows))
                out_BK = network(part.x_BF)
                total += self.validation_loss(out_BK, part.y_B, part.w_B).item() * len(part)
                scored.append(out_BK[-start % every :: every])
            if self._score is not None:
                self.scores = self._score(torch.cat(scored), self.validation.y_B[::every])
        return total / num_rows if math.isfinite(total) else None

    def _track_best(self) -> None:
        progress = self.progress
        least = self._stopping.min_delta if self._stopping else 0.0
        loss = progress.validation_loss
        if loss is None or (progress.best_loss is not None and loss >= progress.best_loss - least):
            progress.stale_epochs += 1
            return
        progress.best_loss, progress.best_epoch, progress.stale_epochs = loss, progress.epoch, 0
        if self._stopping:
            self._best = {name: tensor.clone() for name, tensor in self.measured().state_dict().items()}

    def _track_plateau(self, loss: float | None) -> None:
        progress = self.progress
        if loss is not None and (progress.plateau_loss is None or loss < progress.plateau_loss):
            progress.plateau_loss, progress.plateau_epochs = loss, 0
            return
        progress.plateau_epochs += 1
        if progress.plateau_epochs >= self.params.decay_epochs:
            progress.plateau, progress.plateau_epochs = progress.plateau * self.params.decay_factor, 0

    def measured(self) -> nn.Module:
        """Return the network that is measured and kept: the average of the weights, where one is asked for."""
        return self.network if self.average is None else self.average.measured()

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
        return self.measured().state_dict() if self._best is None else self._best

    def restore_best(self) -> int:
        """Leave the weights to keep in the network, in evaluation mode; returns the epoch they are from.

        Raises: Diverged when they are not finite.
        """
        self.network.load_state_dict(self.kept())
        self._check_finite()
        self.network.eval()
        return self.kept_epoch

    def _check_finite(self) -> None:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.network.state_dict().values()):
            raise self._diverged("the weights were not finite")

    def checkpoint(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all state between two steps, as tensors and JSON.

        Raises: Diverged when the last step has ruined the weights: a checkpoint is a state from which one can go on.
        """
        self._check_finite()
        tensors = {NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {AVERAGE + name: tensor for name, tensor in self.average.network.state_dict().items()}
        tensors |= {BEST + name: tensor for name, tensor in (self._best or {}).items()}
        tensors |= state_tensors(self.optimizers, self.network)
        tensors[GENERATOR] = torch.get_rng_state()
        return tensors, asdict(self.progress)

    def resume(self, tensors: Tensors, state: dict[str, Any]) -> None:
        """Continue from a checkpoint of the same network, data and parameters.

        Raises: LearningError when it is a checkpoint of something else.
        """
        try:
            self.network.load_state_dict(_below(NETWORK, tensors))
            if self.average is not None:
                self.average.network.load_state_dict(_below(AVERAGE, tensors))
            self.progress = Progress(**state)
            restore_state(self.optimizers, self.network, tensors)
            torch.set_rng_state(tensors[GENERATOR])
        except (KeyError, TypeError, RuntimeError) as error:
            raise LearningError("The checkpoint belongs to another training.", code="checkpoint-mismatch") from error
        self._best = _below(BEST, tensors) or None


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
