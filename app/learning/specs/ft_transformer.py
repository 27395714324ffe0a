"""FT-Transformer: attention between the columns of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from app.learning.layout import Layout
from app.learning.number_embeddings import NumberEmbeddingParams, number_parameters
from app.learning.spec import BASIC, EarlyStopping, Spec, inconsistent
from app.learning.specs.dense import Width

if TYPE_CHECKING:
    from torch import dtype, nn


class FTTransformerParams(NumberEmbeddingParams):
    """Parameters of `ft-transformer`: the shape of the network, its embeddings, and how it is optimised."""

    learning_rate: float = Field(
        0.001, ge=1e-10, le=1e4, description="Step size at the top of the schedule.", json_schema_extra=BASIC
    )
    num_blocks: int = Field(
        2, ge=1, le=64, description="Blocks of attention and two layers; the paper has 3.", json_schema_extra=BASIC
    )
    width: Width = Field(
        64, description="Length of a column's token; the paper has 192: slow without a GPU.", json_schema_extra=BASIC
    )
    num_heads: int = Field(8, ge=1, le=64, description="Heads of attention; they divide the width.")
    hidden_width: Width = Field(85, description="Units between the two layers of a block, gated.")
    attention_dropout: float = Field(0.15, ge=0.0, le=0.95, description="Share of attention switched off at each step.")
    dropout: float = Field(
        0.05, ge=0.0, le=0.95, description="Share of hidden units switched off at each step.", json_schema_extra=BASIC
    )
    residual_dropout: float = Field(0.0, ge=0.0, le=0.95, description="The same for what a block adds.")
    weight_decay: float = Field(
        1e-5, ge=0.0, le=100.0, description="gd, sgd, rmsprop, adam: L2, 0 unless given; others: decoupled."
    )
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(patience=16),
        description="null trains all epochs and keeps the last weights.",
        json_schema_extra=BASIC,
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.num_heads:
            raise inconsistent("width", f"the width must be a multiple of num_heads, {self.num_heads}")
        return self


def build(layout: Layout, num_outputs: int, params: FTTransformerParams, dtype: dtype) -> nn.Module:
    """Return the network; the token of the answer is the only one that leaves the last block.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs).
    Initial weights: embeddings of numbers uniform, of categories normal, within or with 1/sqrt(width); blocks torch's
    own. Deterministic: a function of torch's global generator.
    """
    from app.learning.networks.ft_transformer import FTTransformer

    return FTTransformer(layout, num_outputs, params, dtype)


def num_parameters(layout: Layout, num_outputs: int, params: FTTransformerParams) -> int:
    """Return the number of all that is learned: tokens, attention, layers, gains and offsets of normalisations."""
    width, hidden = params.width, params.hidden_width
    ordinal = sum(block.encoding == "ordinal" for block in layout.blocks)
    slots = [block.num_slots for block in layout.blocks if block.encoding != "ordinal"]
    num_lines = layout.num_flags + ordinal + (layout.num_numbers if params.number_embedding == "none" else 0)
    tokens = width + 2 * num_lines * width + number_parameters(layout.num_numbers, params, width)
    tokens += ((1 + sum(slots)) + len(slots)) * width if slots else 0
    attention = (4 if params.num_heads > 1 else 3) * (width + 1) * width
    layers = (width + 1) * 2 * hidden + (hidden + 1) * width
    # Each block normalises twice, but the first one once, and the answer is normalised at the end.
    normalisations = 2 * width * (2 * params.num_blocks - 1 + 1)
    return tokens + params.num_blocks * (attention + layers) + normalisations + (width + 1) * num_outputs


FT_TRANSFORMER = Spec(
    name="ft-transformer",
    version=1,
    summary="FT-Transformer: attention between columns, each of which is a token.",
    source=(
        "Gorishniy, Rubachev, Khrulkov and Babenko, Revisiting deep learning models for tabular data, NeurIPS 2021, "
        "arXiv 2106.11959, with fewer and narrower blocks; other embeddings of numbers, arXiv 2203.05556."
    ),
    tasks=("binary", "multiclass", "regression", "soft"),
    params=FTTransformerParams,
    build=build,
    num_parameters=num_parameters,
    preparation={"category": {"encoding": "index"}},
    takes_indices=True,
)
