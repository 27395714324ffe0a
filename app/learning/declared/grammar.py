"""The grammar of a declared network: a short, closed list of layers, each limit explicit; imports no torch.

There is no reference from one part to another, so there are no cycles: a network is a tree that is read top down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.learning.policies import STRICT
from app.learning.spec import TrainingParams
from app.learning.specs.dense import Activation, Width

MAX_LAYERS = 64
MAX_NESTING = 4
MAX_DESCRIPTION = 2000
Share = Annotated[float, Field(ge=0.0, le=0.95)]


class Dense(BaseModel):
    """Every unit sees every value: y = f(Wx + b), then normalised before f and dropped after it, if asked for."""

    model_config = STRICT

    type: Literal["dense"]
    units: Width = Field(description="How many values come out.")
    activation: Activation = Field("identity", description="The function f.")
    normalization: Literal["none", "batch", "layer"] = Field(
        "none", description="Normalise before the activation, over the batch or the layer."
    )
    dropout: Share = Field(0.0, description="Share of units switched off at each step, after the activation.")


class BatchNormalization(BaseModel):
    """Bring each value to mean 0 and variance 1 over the batch, then scale and shift it by what is learned."""

    model_config = STRICT

    type: Literal["batch_normalization"]


class LayerNormalization(BaseModel):
    """Bring the values of each row to mean 0 and variance 1, then scale and shift them by what is learned."""

    model_config = STRICT

    type: Literal["layer_normalization"]


class ActivationLayer(BaseModel):
    """Apply a function to each value."""

    model_config = STRICT

    type: Literal["activation"]
    function: Activation = Field(description="The function.")


class Dropout(BaseModel):
    """Switch values off at random in training."""

    model_config = STRICT

    type: Literal["dropout"]
    rate: Share = Field(description="Share of values switched off at each step.")


class Residual(BaseModel):
    """Add what the layers inside make of x to x: y = x + g(x). They must end with as many values as they began with."""

    model_config = STRICT

    type: Literal["residual"]
    layers: list[Layer] = Field(min_length=1, max_length=MAX_LAYERS, description="The layers g, in their order.")


Layer = Annotated[
    Dense | BatchNormalization | LayerNormalization | ActivationLayer | Dropout | Residual,
    Field(discriminator="type"),
]


class CategoryEmbedding(BaseModel):
    """Learn a vector for every category; without this they are one-hot."""

    model_config = STRICT

    width: int = Field(8, ge=1, le=256, description="Length of each vector.")


class PeriodicEmbedding(BaseModel):
    """Put beside each number a vector W cos(2πcx + p) + b, all of it learned."""

    model_config = STRICT

    type: Literal["periodic"]
    width: int = Field(4, ge=1, le=256, description="Length of the vector of each number.")
    frequencies: int = Field(16, ge=1, le=256, description="How many frequencies c each number has.")
    scale: float = Field(0.1, ge=1e-4, le=100.0, description="Standard deviation of the frequencies at first.")


class PiecewiseLinearEmbedding(BaseModel):
    """Put beside each number a vector W s + b: s says for each bin how much of it lies below the number."""

    model_config = STRICT

    type: Literal["piecewise_linear"]
    width: int = Field(4, ge=1, le=256, description="Length of the vector of each number.")
    bins: int = Field(16, ge=2, le=256, description="How many bins with equally many training rows each number has.")


NumberEmbedding = Annotated[PeriodicEmbedding | PiecewiseLinearEmbedding, Field(discriminator="type")]


class Embeddings(BaseModel):
    """What becomes of inputs before the first layer."""

    model_config = STRICT

    categories: CategoryEmbedding | None = Field(None, description="Vectors of categories; null: one-hot.")
    numbers: NumberEmbedding | None = Field(None, description="Vectors of numbers; null: the scaled numbers.")


class Network(BaseModel):
    """A network from its inputs to just before its head: the head, and the loss, come from the task."""

    model_config = STRICT

    embeddings: Embeddings = Field(default_factory=Embeddings)
    layers: list[Layer] = Field(
        max_length=MAX_LAYERS,
        description="In their order; with those inside of others at most 64. An empty list is a linear model.",
    )


class Declaration(BaseModel):
    """A spec without code: a network, and defaults of the training parameters that all specs share."""

    model_config = STRICT

    description: str = Field("", max_length=MAX_DESCRIPTION, description="What it is for, in a sentence or two.")
    network: Network
    params: TrainingParams = Field(
        default_factory=TrainingParams, description="Defaults of the training parameters; a job may give others."
    )


Place = tuple[str | int, ...]
LAYERS: Place = ("network", "layers")


def walk(layers: Sequence[Any], place: Place = LAYERS) -> Iterator[tuple[Place, Any]]:
    """Every layer with its place in the declaration, those inside of a residual after it."""
    for index, layer in enumerate(layers):
        yield (*place, index), layer
        if isinstance(layer, Residual):
            yield from walk(layer.layers, (*place, index, "layers"))


def normalizes_batches(network: Network) -> bool:
    """Whether some layer needs batches that have a variance."""
    return any(
        isinstance(layer, BatchNormalization) or getattr(layer, "normalization", "none") == "batch"
        for _, layer in walk(network.layers)
    )
