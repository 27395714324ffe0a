"""A feed-forward network of any depth: every layer is f(Wx + b), the last one is linear."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from app.learning.layout import Layout
from app.learning.spec import BASIC, Spec, TrainingParams, inconsistent

if TYPE_CHECKING:
    from torch import dtype, nn

Width = Annotated[int, Field(ge=1, le=65_536)]
Activation = Literal["relu", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "identity"]
# Of these the He initialisation keeps the variance; the others take Glorot's.
RECTIFYING = frozenset({"relu", "gelu", "silu", "elu", "leaky_relu"})

# Rows are divided evenly over the steps, so from here on no step has a single row.
SMALLEST_NORMALIZED_BATCH = 3
NO_VARIANCE = f"batch normalisation needs at least {SMALLEST_NORMALIZED_BATCH} rows"


def lacks_variance(batch_size: object) -> bool:
    """Return whether batches of this size are too small to be normalised."""
    return isinstance(batch_size, int) and batch_size < SMALLEST_NORMALIZED_BATCH


class DenseParams(TrainingParams):
    """Parameters of `dense`: the shape of the network, and how it is optimised."""

    hidden: list[Width] = Field(
        default=[128, 128],
        max_length=64,
        description="Width of each hidden layer; an empty list is a linear model.",
        json_schema_extra=BASIC,
    )
    activation: Activation = Field("silu", description="The function f between the layers.", json_schema_extra=BASIC)
    dropout: float = Field(
        0.1, ge=0.0, le=0.95, description="Share of hidden units switched off at each step.", json_schema_extra=BASIC
    )
    normalization: Literal["none", "batch", "layer"] = Field(
        "none", description="Normalise each hidden layer before its activation, over the batch or the layer."
    )

    @model_validator(mode="after")
    def _batches_have_variance(self) -> Self:
        if self.normalization == "batch":
            refuse_single_rows(self)
        return self


def refuse_single_rows(params: TrainingParams) -> None:
    """Raise, within a validator, when batches may have a single row, which cannot be normalised over the batch."""
    if lacks_variance(params.batch_size):
        raise inconsistent("batch_size", NO_VARIANCE)


def build(layout: Layout, num_outputs: int, params: DenseParams, dtype: dtype) -> nn.Module:
    """Return the layers in order: linear, normalisation, activation, dropout, ..., linear.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs).
    Initial weights: hidden layers normal with variance 2/fan_in (He) for the rectifying activations, uniform
    with variance 2/(fan_in + fan_out) (Glorot) for the others; the last layer normal with variance 1/fan_in;
    biases 0. Deterministic: a function of torch's global generator.
    """
    from torch import nn

    layers: list[nn.Module] = []
    width = layout.num_inputs
    for num_units in params.hidden:
        layer = nn.Linear(width, num_units, dtype=dtype)
        initialise(layer, params.activation)
        layers += [layer, *between(num_units, params.normalization, params.activation, params.dropout, dtype)]
        width = num_units
    return nn.Sequential(*layers, make_head(width, num_outputs, dtype))


def make_head(width: int, num_outputs: int, dtype: dtype) -> nn.Linear:
    """Return the last layer, which makes raw outputs."""
    from torch import nn

    head = nn.Linear(width, num_outputs, dtype=dtype)
    nn.init.normal_(head.weight, std=1.0 / math.sqrt(width))
    nn.init.zeros_(head.bias)
    return head


def initialise(layer: nn.Linear, activation: str) -> None:
    """Draw the weights of a hidden layer whose values go through this activation."""
    from torch import nn

    if activation in RECTIFYING:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


def make_activation(name: str) -> nn.Module:
    """Return the function f as a module."""
    from torch import nn

    activations: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "elu": nn.ELU,
        "leaky_relu": nn.LeakyReLU,
        "identity": nn.Identity,
    }
    return activations[name]()


def between(num_units: int, normalization: str, activation: str, dropout: float, dtype: dtype) -> list[nn.Module]:
    """Return what follows on a hidden layer: normalisation, activation, dropout."""
    from torch import nn

    modules: list[nn.Module] = []
    if normalization == "batch":
        modules.append(nn.BatchNorm1d(num_units, dtype=dtype))
    if normalization == "layer":
        modules.append(nn.LayerNorm(num_units, dtype=dtype))
    modules.append(make_activation(activation))
    if dropout:
        modules.append(nn.Dropout(dropout))
    return modules


def num_parameters(layout: Layout, num_outputs: int, params: DenseParams) -> int:
    """Return the number of trained weights, biases and normalisation gains."""
    widths = [layout.num_inputs, *params.hidden, num_outputs]
    linear = sum((width + 1) * following for width, following in pairwise(widths))
    return linear + (2 * sum(params.hidden) if params.normalization != "none" else 0)


DENSE = Spec(
    name="dense",
    version=1,
    summary="A feed-forward network y = f(Wx + b) of any depth, for classes, numbers and shares.",
    source=(
        "Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 323, 1986; "
        "initialisation of Glorot and Bengio, AISTATS 2010, and He et al., arXiv 1502.01852; "
        "dropout of Srivastava et al., JMLR 15, 2014."
    ),
    tasks=("binary", "multiclass", "regression", "soft"),
    params=DenseParams,
    build=build,
    num_parameters=num_parameters,
)
