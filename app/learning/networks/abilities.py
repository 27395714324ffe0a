"""What a network may offer beside computing its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from app.learning.spec import Task


@runtime_checkable
class Grouped(Protocol):
    """A network whose parameters learn at different rates."""

    def parameter_groups(self, weight_decay: float) -> Sequence[dict[str, Any]]:
        """Return groups for an optimizer of torch: `params`, `weight_decay` and `rate_factor`."""
        ...


@runtime_checkable
class FittedToData(Protocol):
    """A network that looks at the training rows before its first step, and keeps what it saw in buffers."""

    def fit(self, x_BF: Tensor, y_B: Tensor, task: Task) -> None:
        """Take what it needs from inputs and targets as learned. Deterministic: draws nothing."""
        ...
