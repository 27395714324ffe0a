"""A linear model on bent inputs: y = W tanh(a x) + b. This module imports no torch, because servers read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from app.learning.layout import Layout
from app.learning.spec import BASIC, Spec, TrainingParams

if TYPE_CHECKING:
    from torch import dtype, nn


class BentParams(TrainingParams):
    """Parameters of `bent`: the initial steepness, and how it is optimised."""

    steepness: float = Field(
        1.0, ge=0.01, le=100.0, description="How sharply the inputs bend at first.", json_schema_extra=BASIC
    )
    learning_rate: float = Field(
        0.01, ge=1e-10, le=1e4, description="Step size at the top of the schedule.", json_schema_extra=BASIC
    )


def build(layout: Layout, num_outputs: int, params: BentParams, dtype: dtype) -> nn.Module:
    """Return the network.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs).
    Deterministic: a function of torch's global generator.
    """
    from torch import nn

    from bent_spec.bend import Bend

    bend = Bend(layout.num_inputs, params.steepness, dtype)
    return nn.Sequential(bend, nn.Linear(layout.num_inputs, num_outputs, dtype=dtype))


def num_parameters(layout: Layout, num_outputs: int, params: BentParams) -> int:
    """Return the number of weights, biases and steepnesses."""
    return layout.num_inputs + (layout.num_inputs + 1) * num_outputs


BENT = Spec(
    name="bent",
    version=1,
    summary="A linear model on inputs that bend.",
    source="ours, because an example should be short and new",
    tasks=("binary", "multiclass", "regression", "soft"),
    params=BentParams,
    build=build,
    num_parameters=num_parameters,
)
