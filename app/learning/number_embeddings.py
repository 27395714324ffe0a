"""What specs with number embeddings share: their parameters and the arithmetic of their sizes; imports no torch.

Source: Gorishniy, Rubachev and Babenko, On embeddings for numerical features in tabular deep learning, NeurIPS 2022,
arXiv 2203.05556; piecewise_linear in the form of Gorishniy et al., TabM, arXiv 2410.24210.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.learning.spec import BASIC, TrainingParams

NumberEmbedding = Literal["none", "piecewise_linear", "periodic"]
EMBEDDING_HELP = "none: numbers stay as they are; piecewise_linear: lines between the edges of bins; periodic: waves."


class NumberEmbeddingParams(TrainingParams):
    """How a number becomes several values before the first layer."""

    number_embedding: NumberEmbedding = Field("none", description=EMBEDDING_HELP, json_schema_extra=BASIC)
    number_width: int = Field(16, ge=1, le=1024, description="Values that the embedding makes of each number.")
    num_bins: int = Field(48, ge=2, le=1024, description="piecewise_linear: at most so many bins for each number.")
    bins: Literal["quantile", "target"] = Field(
        "quantile", description="Bins of equally many training rows, or those that tell the target best (by a tree)."
    )
    num_frequencies: int = Field(48, ge=1, le=1024, description="periodic: sines and as many cosines for each number.")
    frequency_scale: float = Field(
        0.05, ge=1e-6, le=1e3, description="periodic: standard deviation of the first frequencies."
    )


def width_of_number(params: NumberEmbeddingParams) -> int:
    """Return how many values each number becomes."""
    return 1 if params.number_embedding == "none" else params.number_width


def number_parameters(num_numbers: int, params: NumberEmbeddingParams, width: int) -> int:
    """Return how many parameters the embedding of so many numbers has, making `width` values of each."""
    of_each = {
        "none": 0,
        "piecewise_linear": (2 + params.num_bins) * width,
        "periodic": params.num_frequencies + (2 * params.num_frequencies + 1) * width,
    }
    return num_numbers * of_each[params.number_embedding]
