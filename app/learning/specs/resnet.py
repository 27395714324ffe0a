"""A ResNet for tables: blocks of layers with a way around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from app.learning.embedded import category_width, table_parameters
from app.learning.layout import Layout
from app.learning.number_embeddings import (
    EMBEDDING_HELP,
    NumberEmbedding,
    NumberEmbeddingParams,
    number_parameters,
    width_of_number,
)
from app.learning.spec import BASIC, EarlyStopping, Spec
from app.learning.specs.dense import Width, refuse_single_rows

if TYPE_CHECKING:
    from torch import dtype, nn


class ResNetParams(NumberEmbeddingParams):
    """Parameters of `resnet`: the shape of the network, its embeddings, and how it is optimised."""

    learning_rate: float = Field(
        0.0003, ge=1e-10, le=1e4, description="Step size at the top of the schedule.", json_schema_extra=BASIC
    )
    num_blocks: int = Field(2, ge=1, le=64, description="Blocks of two layers each.", json_schema_extra=BASIC)
    width: Width = Field(192, description="Values between the blocks.", json_schema_extra=BASIC)
    hidden_width: Width = Field(384, description="Units between the two layers of a block.")
    dropout: float = Field(
        0.15, ge=0.0, le=0.95, description="Share of hidden units switched off at each step.", json_schema_extra=BASIC
    )
    residual_dropout: float = Field(0.0, ge=0.0, le=0.95, description="The same for what a block adds.")
    weight_decay: float = Field(
        1e-5, ge=0.0, le=100.0, description="gd, sgd, rmsprop, adam: L2, 0 unless given; others: decoupled."
    )
    number_embedding: NumberEmbedding = Field("piecewise_linear", description=EMBEDDING_HELP, json_schema_extra=BASIC)
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(patience=16),
        description="null trains all epochs and keeps the last weights.",
        json_schema_extra=BASIC,
    )
    max_one_hot: int = Field(9, ge=0, le=10_000, description="Categories with more slots become learned vectors.")
    category_width: int = Field(8, ge=1, le=1024, description="Length of the vector of a category.")

    @model_validator(mode="after")
    def _batches_have_variance(self) -> Self:
        refuse_single_rows(self)
        return self


def build(layout: Layout, num_outputs: int, params: ResNetParams, dtype: dtype) -> nn.Module:
    """Return the network: embeddings, a layer, blocks h + Wg(V norm(h)), normalisation, and a last layer.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs).
    Initial weights: torch's own, uniform by the number of inputs; vectors of categories normal.
    Deterministic: a function of torch's global generator.
    """
    from app.learning.networks.resnet import ResNet

    return ResNet(layout, num_outputs, params, dtype)


def num_parameters(layout: Layout, num_outputs: int, params: ResNetParams) -> int:
    """Return the number of all that is learned: embeddings, layers, gains and offsets of normalisations."""
    width, hidden = params.width, params.hidden_width
    of_number = width_of_number(params)
    embeddings = number_parameters(layout.num_numbers, params, of_number)
    embeddings += table_parameters(layout, params.max_one_hot, params.category_width)
    num_values = layout.num_numbers * of_number + category_width(layout, params.max_one_hot, params.category_width)
    block = 2 * width + (width + 1) * hidden + (hidden + 1) * width
    return embeddings + (num_values + 1) * width + params.num_blocks * block + 2 * width + (width + 1) * num_outputs


RESNET = Spec(
    name="resnet",
    version=1,
    summary="A ResNet for tables: normalised blocks with a way around them, on embedded numbers and categories.",
    source=(
        "Gorishniy, Rubachev, Khrulkov and Babenko, Revisiting deep learning models for tabular data, NeurIPS 2021, "
        "arXiv 2106.11959; embeddings of numbers, Gorishniy, Rubachev and Babenko, NeurIPS 2022, arXiv 2203.05556."
    ),
    tasks=("binary", "multiclass", "regression", "soft"),
    params=ResNetParams,
    build=build,
    num_parameters=num_parameters,
    preparation={"category": {"encoding": "index"}},
    takes_indices=True,
)
