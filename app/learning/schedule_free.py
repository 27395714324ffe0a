"""AdamW without a schedule: gradients are taken between a base sequence and its average, and the average is kept.

Source: Defazio et al., The road less scheduled, arXiv 2405.15682, Algorithm 1; averaging weights are the squares of the
learning rates, as in section 4.1 there. Deterministic: yes, for one number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, optim


class ScheduleFreeAdamW(optim.Optimizer):
    """Steps the parameters y and, beside them, the averages x that are to be kept.

    y = (1 - beta1) z + beta1 x; with g the gradient at y, v the mean of g^2 and r the learning rate:
    z <- z - r (g / (sqrt(v) + epsilon) + weight_decay y), x <- (1 - c) x + c z, c = r^2 / sum of all r^2.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], averages: dict[Tensor, Tensor], *,
        lr: float, betas: tuple[float, float], eps: float,
    ) -> None:  # fmt: skip
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self._averages = averages

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step with the gradients that the parameters hold."""
        for group in self.param_groups:
            y: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if y:
                self._step_group(group, y, [parameter.grad for parameter in y if parameter.grad is not None])

    def _step_group(self, group: dict[str, Any], y: list[Tensor], gradients: list[Tensor]) -> None:
        states = [self._state_of(parameter) for parameter in y]
        (beta1, beta2), rate = group["betas"], group["lr"]
        for state in states:
            state["step"] += 1
            state["weight_sum"] += rate * rate
        count, total = states[0]["step"].item(), states[0]["weight_sum"].item()
        squares, z = [state["exp_avg_sq"] for state in states], [state["z"] for state in states]
        x = [self._averages[parameter] for parameter in y]
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - beta2)
        scales = torch._foreach_div(squares, 1.0 - beta2**count)
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, group["eps"])
        moves = torch._foreach_div(gradients, scales)
        torch._foreach_add_(moves, y, alpha=group["weight_decay"])
        torch._foreach_add_(z, moves, alpha=-rate)
        # While all rates were 0 there is nothing to average: x, z and y are still the same.
        torch._foreach_lerp_(x, z, rate * rate / total if total else 0.0)
        torch._foreach_copy_(y, torch._foreach_lerp(z, x, beta1))

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float64)
            state["weight_sum"] = torch.zeros((), dtype=torch.float64)
            state["z"] = parameter.detach().clone()
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state
