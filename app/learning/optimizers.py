"""The optimizers by name, and their state as named tensors for checkpoints.

Source: see TrainingParams in spec.py. Weight decay applies to matrices, not to biases and normalisation
gains. Deterministic: yes, for one number of threads.
"""

from __future__ import annotations

from torch import Tensor, nn, optim

from app.learning.spec import TrainingParams

PREFIX = "optimizer."


def make_optimizer(network: nn.Module, params: TrainingParams) -> optim.Optimizer:
    """Return the optimizer; its learning rate is set anew before every step."""
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": params.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = params.learning_rate
    if params.optimizer == "adam":
        return optim.Adam(groups, lr=rate, fused=True)
    if params.optimizer == "adamw":
        return optim.AdamW(groups, lr=rate, fused=True)
    if params.optimizer == "rmsprop":
        return optim.RMSprop(groups, lr=rate, momentum=params.momentum)
    # Without momentum and decay this is plain gradient descent: W <- W - rate * gradient, and nothing else.
    return optim.SGD(groups, lr=rate, momentum=params.momentum, nesterov=params.nesterov)


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_tensors(optimizer: optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """Return the optimizer's memory as `optimizer.<parameter>.<quantity>`."""
    return {
        f"{PREFIX}{name}.{quantity}": value
        for name, parameter in network.named_parameters()
        for quantity, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_state(optimizer: optim.Optimizer, network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put the memory of `state_tensors` back."""
    parameters = dict(network.named_parameters())
    for key, value in tensors.items():
        if key.startswith(PREFIX):
            name, quantity = key.removeprefix(PREFIX).rsplit(".", 1)
            optimizer.state[parameters[name]][quantity] = value.clone()
