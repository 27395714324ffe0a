"""One step of a training: batches, gradients, optimizers, averages, on whatever hardware there is.

Shapes: x_BF inputs, y_B targets, w_B weights of the rows or None, out_BK raw outputs. A step may gather the gradients
of several batches; between two steps nothing of either is left over. Steps are taken on the hardware's device, all else
on the CPU. Deterministic: on a CPU, for one number of threads.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from app.learning.averaging import Average
from app.learning.batches import Data, Shuffled
from app.learning.hardware import Forward, Hardware, Warn, compiled
from app.learning.losses import Loss
from app.learning.optimizers import make_optimizers, restore_state, set_rate, state_tensors
from app.learning.scores import scored_every
from app.learning.training_params import TrainingParams
from app.learning.weights import Tensors

EVALUATION_ROWS = 8192
NETWORK, AVERAGE, GENERATOR, CUDA_GENERATOR = "network.", "average.", "generator", "cuda_generator"
SMALLEST_BATCH, LARGEST_BATCH, STEPS_WANTED = 32, 1024, 32


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


class Stepper:
    """A network, its optimizers and the rows that it learns from, one step after the other."""

    def __init__(
        self, network: nn.Module, params: TrainingParams, loss: Loss, rows: Data, *, seed: int, hardware: Hardware
    ) -> None:
        self.network, self.hardware = network.to(hardware.device), hardware
        self._params, self._loss = params, loss
        averages = params.ema_decay is not None or params.optimizer == "schedule_free"
        self._average = Average(network) if averages else None
        self.optimizers = make_optimizers(network, params, self._average)
        self._dropouts = [(module, module.p) for module in network.modules() if isinstance(module, nn.Dropout)]
        self.num_rows = len(rows)
        self.batch_size = resolve_batch_size(params, self.num_rows)
        self.steps_per_epoch = math.ceil(self.num_rows / (self.batch_size * params.accumulate))
        # The mean over all rows does not depend on their order, so a full batch needs no shuffling.
        self._all = rows.to(hardware.device) if self.steps_per_epoch == 1 else None
        self._shuffled = Shuffled(rows, seed, self.batch_size, hardware.device)
        self._forward: Forward = self._loss_of
        self.gradient_norm: Tensor | None = None

    def begin(self, epoch: int) -> None:
        """Take up the order of an epoch (counted from 0)."""
        self._shuffled.begin(epoch)
        self.network.train()

    def take(self, step: int, rate: float, share: float) -> Tensor:
        """Take a step (counted from 0) at this learning rate, with this share of weight decay and dropout.

        Returns the loss before it, a scalar that the device may still be computing.
        """
        set_rate(self.optimizers, rate, share)
        for module, full_p in self._dropouts:
            module.p = full_p * share
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        index, steps = step % self.steps_per_epoch, self.steps_per_epoch
        loss = self._gather_gradients(index * self.num_rows // steps, (index + 1) * self.num_rows // steps)
        if self._params.gradient_clip is not None:
            self.gradient_norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._params.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self._average is not None and self._params.ema_decay is not None:
            self._average.follow(self._params.ema_decay, step)
        return loss

    def _gather_gradients(self, start: int, end: int) -> Tensor:
        """Add up the gradients of the mean loss over the rows of a step, batch by batch; returns that loss."""
        losses = []
        for first, last in self._bounds(start, end):
            batch = self._rows(first, last)
            loss = self._forward(batch.x_BF, batch.y_B, batch.w_B)
            if last - first < end - start:
                loss = loss * ((last - first) / (end - start))
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _bounds(self, start: int, end: int) -> list[tuple[int, int]]:
        num_batches = math.ceil((end - start) / self.batch_size)
        cuts = [start + index * (end - start) // num_batches for index in range(num_batches + 1)]
        return list(pairwise(cuts))

    def _rows(self, start: int, end: int) -> Data:
        return self._shuffled.part(start, end) if self._all is None else self._all.part(start, end)

    def _loss_of(self, x_BF: Tensor, y_B: Tensor, w_B: Tensor | None) -> Tensor:
        with self.hardware.autocast():
            out_BK: Tensor = self.network(x_BF)
        return self._loss(out_BK.to(self.hardware.dtype), y_B, w_B)

    def compile(self, warn: Warn) -> None:
        """Compile the way from rows to loss for the sizes that batches have; warns and goes on where that fails."""
        state = torch.get_rng_state()
        self._forward = compiled(self._loss_of, self._rehearse, warn)
        torch.set_rng_state(state)

    def _rehearse(self, forward: Forward) -> None:
        """Go forward and back for each size of a batch once."""
        least = self.num_rows // self.steps_per_epoch
        most = math.ceil(self.num_rows / self.steps_per_epoch)
        sizes = {last - first for num_rows in (least, most) for first, last in self._bounds(0, num_rows)}
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        self.begin(0)
        try:
            for size in sorted(sizes):
                batch = self._rows(0, size)
                forward(batch.x_BF, batch.y_B, batch.w_B).backward()  # type: ignore[no-untyped-call]
        finally:
            for buffer, before in zip(self.network.buffers(), statistics, strict=True):
                buffer.copy_(before)

    def measured(self) -> nn.Module:
        """Return the network that is measured and kept: the average of the weights, where one is asked for."""
        return self.network if self._average is None else self._average.measured()

    def measure(self, loss: Loss, rows: Data) -> tuple[float, Tensor]:
        """Return the mean loss of the measured network over all rows, and its raw outputs for every n-th of them."""
        network, total, num_rows = self.measured().eval(), 0.0, len(rows)
        every = scored_every(num_rows)
        scored: list[Tensor] = []
        with torch.inference_mode(), self.hardware.autocast():
            for start in range(0, num_rows, EVALUATION_ROWS):
                part = rows.part(start, min(start + EVALUATION_ROWS, num_rows)).to(self.hardware.device)
                out_BK = network(part.x_BF).to(self.hardware.dtype)
                total += loss(out_BK, part.y_B, part.w_B).item() * len(part)
                scored.append(out_BK[-start % every :: every].cpu())
        rows.release()
        return total / num_rows, torch.cat(scored)

    def release(self) -> None:
        """Let go of gradients and of the state of the optimizers: no step comes any more."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()

    def tensors(self) -> Tensors:
        """Return all state between two steps."""
        tensors = {NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        if self._average is not None:
            tensors |= {AVERAGE + name: tensor for name, tensor in self._average.network.state_dict().items()}
        tensors |= state_tensors(self.optimizers, self.network)
        tensors[GENERATOR] = torch.get_rng_state()
        if self.hardware.device.type == "cuda":
            tensors[CUDA_GENERATOR] = torch.cuda.get_rng_state()
        return {name: tensor.cpu() for name, tensor in tensors.items()}

    def restore(self, tensors: Tensors) -> None:
        """Put the state of `tensors` back. Raises: KeyError or RuntimeError when it is that of something else."""
        self.network.load_state_dict(below(NETWORK, tensors))
        if self._average is not None:
            self._average.network.load_state_dict(below(AVERAGE, tensors))
        restore_state(self.optimizers, self.network, tensors)
        torch.set_rng_state(tensors[GENERATOR])
        if self.hardware.device.type == "cuda":
            torch.cuda.set_rng_state(tensors[CUDA_GENERATOR])


def below(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
