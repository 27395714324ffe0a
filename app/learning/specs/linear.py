"""Logistic and linear regression: one layer, the honest baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from app.learning.layout import Layout
from app.learning.spec import BASIC, Spec, TrainingParams

if TYPE_CHECKING:
    from torch import dtype, nn


class LinearParams(TrainingParams):
    """Parameters of `linear`: only how it is optimised."""

    learning_rate: float = Field(
        0.01, ge=1e-10, le=1e4, description="Step size at the top of the schedule.", json_schema_extra=BASIC
    )


def build(layout: Layout, num_outputs: int, params: LinearParams, dtype: dtype) -> nn.Module:
    """Return y = Wx + b, starting from zero: the loss is convex, so the start only costs steps.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs). Deterministic: draws nothing.
    """
    from torch import nn

    layer = nn.Linear(layout.num_inputs, num_outputs, dtype=dtype)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(layer)


def num_parameters(layout: Layout, num_outputs: int, params: LinearParams) -> int:
    """Return the number of weights and biases."""
    return (layout.num_inputs + 1) * num_outputs


LINEAR = Spec(
    name="linear",
    version=1,
    summary="Logistic or linear regression: one weight per input, trained by gradient descent.",
    source="Cox, The regression analysis of binary sequences, JRSS B 20(2), 1958; Legendre 1805 for least squares.",
    tasks=("binary", "multiclass", "regression", "soft"),
    params=LinearParams,
    build=build,
    num_parameters=num_parameters,
)
