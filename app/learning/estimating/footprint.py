"""The memory of a network in training, counted on torch's meta device: nothing is computed and nothing allocated.

A step and a validation pass run on tensors without data while every storage that comes and goes is counted, so any
network is counted at any size of a batch. Source: ours. Deterministic: yes. Bytes.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from app.learning.averaging import Average
from app.learning.hardware import choose_hardware
from app.learning.layout import Layout
from app.learning.losses import make_loss
from app.learning.optimizers import make_optimizers
from app.learning.plan import Plan
from app.learning.spec import TrainingParams, as_network
from app.learning.stepping import EVALUATION_ROWS

# The network to export is a copy; its graph is built, written, and loaded.
GRAPH_COPIES = 5


class Footprint:
    """What one network takes for any batch: `fixed` whatever the batch, and the peak of a step on top."""

    def __init__(self, plan: Plan, params: TrainingParams, layout: Layout) -> None:
        build, _ = as_network(plan.spec, params)
        with torch.device("meta"):
            self._network = build(layout, plan.num_outputs, params, choose_hardware(params).dtype)
        self._plan, self._params, self._layout = plan, params, layout
        weights = _num_bytes(self._network)
        kept = params.early_stopping is not None
        averages = params.ema_decay is not None or params.optimizer == "schedule_free"
        states = _state_bytes_per_byte(params) * weights
        self.num_parameters = sum(parameter.numel() for parameter in self._network.parameters())
        # Weights, gradients, the optimizer's state, the best weights so far, their average.
        self.living = int(2 * weights + states + (kept + averages) * weights)
        self.written = GRAPH_COPIES * weights

    def peak_bytes(self, batch_size: int, validation_rows: int) -> int:
        """Return the most that is in use at once beside the rows of the data set."""
        step = self._step(batch_size)
        validation = self._forward(min(EVALUATION_ROWS, validation_rows)) if validation_rows else 0
        return self.living + max(step, validation, self.written)

    def _step(self, num_rows: int) -> int:
        network = self._network.train()
        x_BF, y_B = self._rows(num_rows)
        loss = make_loss(self._plan.loss, self._plan.task)
        with Counter() as counter:
            loss(network(x_BF), y_B, None).backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)
        # Gradients of the weights are counted among what lives on.
        peak: int = max(0, counter.peak - _num_bytes(network)) + x_BF.nbytes
        return peak

    def _forward(self, num_rows: int) -> int:
        x_BF, _ = self._rows(num_rows)
        with torch.no_grad(), Counter() as counter:
            self._network.eval()(x_BF)
        peak: int = counter.peak + x_BF.nbytes
        return peak

    def _rows(self, num_rows: int) -> tuple[Tensor, Tensor]:
        dtype = choose_hardware(self._params).dtype
        kind = torch.long if self._plan.task == "multiclass" else dtype
        x_BF = torch.empty(num_rows, self._layout.num_inputs, dtype=dtype, device="meta")
        return x_BF, torch.empty(num_rows, dtype=kind, device="meta")


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of storages that were made inside and are still there; `peak` is the most of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._living = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given | self._known:
                self._follow(leaf.untyped_storage())
        return out

    def _follow(self, storage: Any) -> None:
        key, num_bytes = storage._cdata, storage.nbytes()
        self._known.add(key)
        self._living += num_bytes
        self.peak = max(self.peak, self._living)
        weakref.finalize(storage, self._forget, key, num_bytes)

    def _forget(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self._living -= num_bytes


def _num_bytes(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in network.state_dict().values())


def _state_bytes_per_byte(params: TrainingParams) -> float:
    """Return the bytes that the optimizer keeps for each byte of weights, found out on a small layer."""
    layers = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    average = Average(layers) if params.optimizer == "schedule_free" else None
    optimizers = make_optimizers(layers, params, average)
    layers(torch.ones(2, 16)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    states = [state for optimizer in optimizers for state in optimizer.state.values()]
    tensors = [value for state in states for value in state.values() if isinstance(value, Tensor) and value.ndim]
    return sum(tensor.nbytes for tensor in tensors) / _num_bytes(layers)
