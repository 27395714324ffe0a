"""TabM: an ensemble of feed-forward networks that share most of their weights."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from app.learning.layout import Layout
from app.learning.number_embeddings import (
    EMBEDDING_HELP,
    NumberEmbedding,
    NumberEmbeddingParams,
    number_parameters,
    width_of_number,
)
from app.learning.spec import BASIC, EarlyStopping, Spec
from app.learning.specs.dense import Width

if TYPE_CHECKING:
    from torch import dtype, nn


class TabMParams(NumberEmbeddingParams):
    """Parameters of `tabm`: members, the shape of the networks, their embeddings, and how they are optimised."""

    num_members: int = Field(
        8, ge=1, le=1024, json_schema_extra=BASIC,
        description="Networks trained together; the paper has 32: better, and about four times as slow.",
    )  # fmt: skip
    num_blocks: int = Field(2, ge=1, le=64, description="Hidden layers of a member.", json_schema_extra=BASIC)
    width: Width = Field(
        192,
        json_schema_extra=BASIC,
        description="Units of a hidden layer; the paper has 512: for a GPU, or patience.",
    )
    dropout: float = Field(
        0.1, ge=0.0, le=0.95, description="Share of hidden units switched off at each step.", json_schema_extra=BASIC
    )
    weight_decay: float = Field(
        3e-4, ge=0.0, le=100.0, description="gd, sgd, rmsprop, adam: L2, 0 unless given; others: decoupled."
    )
    number_embedding: NumberEmbedding = Field("piecewise_linear", description=EMBEDDING_HELP, json_schema_extra=BASIC)
    number_width: int = Field(8, ge=1, le=1024, description="Values that the embedding makes of each number.")
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(patience=16),
        description="null trains all epochs and keeps the last weights.",
        json_schema_extra=BASIC,
    )


def build(layout: Layout, num_outputs: int, params: TabMParams, dtype: dtype) -> nn.Module:
    """Return the network; each member scales inputs and outputs of shared layers by its own factors.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, members, num_outputs) in training mode, where each
    member learns by its own loss, else (rows, num_outputs). Initial weights: shared ones uniform by the number of
    inputs, a member's first factors normal (signs without embeddings), all others 1.
    Deterministic: a function of torch's global generator.
    """
    from app.learning.networks.tabm import TabM

    return TabM(layout, num_outputs, params, dtype)


def num_parameters(layout: Layout, num_outputs: int, params: TabMParams) -> int:
    """Return the number of all that is learned: embeddings, shared weights, and the members' factors and biases."""
    of_number = width_of_number(params)
    fan_in = layout.num_inputs - layout.num_numbers + layout.num_numbers * of_number
    widths = [fan_in] + [params.width] * params.num_blocks
    shared = sum(before * after for before, after in pairwise(widths))
    of_member = sum(before + 2 * after for before, after in pairwise(widths))
    of_member += (params.width + 1) * num_outputs
    return number_parameters(layout.num_numbers, params, of_number) + shared + params.num_members * of_member


TABM = Spec(
    name="tabm",
    version=1,
    summary="TabM: an ensemble of feed-forward networks that share most of their weights, on embedded numbers.",
    source=(
        "Gorishniy, Kotelnikov and Babenko, TabM: Advancing tabular deep learning with parameter-efficient ensembling, "
        "ICLR 2025, arXiv 2410.24210, with fewer and narrower members; embeddings of arXiv 2203.05556."
    ),
    tasks=("binary", "multiclass", "regression", "soft"),
    params=TabMParams,
    build=build,
    num_parameters=num_parameters,
)
