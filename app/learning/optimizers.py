"""The optimizers by name, and their state as named tensors for checkpoints.

Source: see TrainingParams. Weight decay applies to matrices, not to biases and normalisation gains, unless the network
groups its parameters itself. Deterministic: yes, for one number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn, optim

from app.learning.averaging import Average
from app.learning.networks.abilities import Grouped
from app.learning.schedule_free import ScheduleFreeAdamW
from app.learning.spec import TrainingParams

PREFIX = "optimizer."
# Makes a step of Muon about as long as one of AdamW, so that both share one learning rate.
MUON_RATE = "match_rms_adamw"

Group = dict[str, Any]
Optimizers = Sequence[optim.Optimizer]


def make_optimizers(network: nn.Module, params: TrainingParams, average: Average | None = None) -> Optimizers:
    """Return the optimizers that together step all parameters; their rates are set anew before every step.

    `average` is where schedule_free puts its average.
    """
    groups = [group | {"full_decay": group["weight_decay"]} for group in parameter_groups(network, params.weight_decay)]
    rate, betas, epsilon = params.learning_rate, (params.beta1, params.beta2), params.epsilon
    if params.optimizer == "muon":
        hidden, others = _split(groups, hidden_matrices(network))
        matrices = [optim.Muon(
            hidden, lr=rate, momentum=params.momentum, nesterov=params.nesterov, adjust_lr_fn=MUON_RATE,
        )] if hidden else []  # fmt: skip
        return [*matrices, optim.AdamW(others, lr=rate, betas=betas, eps=epsilon, fused=True)]
    if params.optimizer == "schedule_free" and average is not None:
        averages: dict[Tensor, Tensor] = dict(zip(network.parameters(), average.network.parameters(), strict=True))
        return [ScheduleFreeAdamW(groups, averages, lr=rate, betas=betas, eps=epsilon)]
    if params.optimizer in ("adam", "adamw"):
        kind = optim.Adam if params.optimizer == "adam" else optim.AdamW
        return [kind(groups, lr=rate, betas=betas, eps=epsilon, fused=True)]
    if params.optimizer == "rmsprop":
        return [optim.RMSprop(groups, lr=rate, alpha=params.beta2, eps=epsilon, momentum=params.momentum)]
    # Without momentum and decay this is plain gradient descent: W <- W - rate * gradient, and nothing else.
    return [optim.SGD(groups, lr=rate, momentum=params.momentum, nesterov=params.nesterov)]


def parameter_groups(network: nn.Module, weight_decay: float) -> Sequence[Group]:
    """Return the network's own groups, or its matrices, which decay, and its vectors, which do not."""
    if isinstance(network, Grouped):
        return network.parameter_groups(weight_decay)
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "rate_factor": 1.0},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "rate_factor": 1.0},
    ]


def hidden_matrices(network: nn.Module) -> set[Tensor]:
    """Return the weights (outputs, inputs) of all linear layers but the last, whose outputs are the network's.

    Source: Jordan et al., Muon, 2024: orthogonal steps suit matrices between hidden values; embeddings, vectors and the
    last layer are better left to AdamW.
    """
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
    return {weight for weight in weights[:-1] if weight.ndim == 2}


def _split(groups: Sequence[Group], chosen: set[Tensor]) -> tuple[list[Group], list[Group]]:
    """Divide groups into those of the chosen parameters and those of the others."""
    sides: tuple[list[Group], list[Group]] = ([], [])
    for group in groups:
        for side, wanted in zip(sides, (True, False), strict=True):
            members = [p for p in group["params"] if (p in chosen) == wanted]
            if members:
                side.append(group | {"params": members})
    return sides


def set_rate(optimizers: Optimizers, rate: float, decay_share: float = 1.0) -> None:
    """Use this learning rate, and this share of the weight decay, from the next step on."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
            group["weight_decay"] = group["full_decay"] * decay_share


def state_tensors(optimizers: Optimizers, network: nn.Module) -> dict[str, Tensor]:
    """Return the optimizers' memory as `optimizer.<parameter>.<quantity>`."""
    return {
        f"{PREFIX}{name}.{quantity}": value
        for name, parameter in network.named_parameters()
        for optimizer in optimizers
        for quantity, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_state(optimizers: Optimizers, network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put the memory of `state_tensors` back."""
    parameters = dict(network.named_parameters())
    owners = {
        parameter: optimizer
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for key, value in tensors.items():
        if key.startswith(PREFIX):
            name, quantity = key.removeprefix(PREFIX).rsplit(".", 1)
            parameter = parameters[name]
            owner = owners[parameter]
            # A counter that no fused kernel reads stays where Python reads it.
            device = parameter.device if value.ndim or owner.defaults.get("fused") else value.device
            owner.state[parameter][quantity] = value.to(device, copy=True)
