"""RealMLP: a feed-forward network with defaults that were tuned over many tables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from app.learning.embedded import category_width, table_parameters
from app.learning.layout import Layout
from app.learning.spec import BASIC, CLASSIFICATION, BatchSize, EarlyStopping, Spec, Stated, Task, TrainingParams
from app.learning.specs.dense import Width

if TYPE_CHECKING:
    from torch import dtype, nn

# The default split then leaves about 5,000 for training; from there on an epoch has steps enough.
MANY_ROWS = 8_000
FEW_EPOCHS, MANY_EPOCHS = 64, 256
# Where classes can be told apart without fail, the likelihood alone drives logits on and on. The paper smooths by 0.1
# and cares for accuracy; less of it was better for the likelihood of validation rows.
SMOOTHING = 0.02


class RealMLPParams(TrainingParams):
    """Parameters of `realmlp`: the shape of the network, its embeddings, and how it is optimised."""

    epochs: int = Field(
        MANY_EPOCHS, ge=1, le=100_000, json_schema_extra=BASIC,
        description="Passes over the training rows; 64 from 8,000 rows on, unless given.",
    )  # fmt: skip
    learning_rate: float = Field(
        0.04, ge=1e-10, le=1e4, json_schema_extra=BASIC,
        description="Step size at the top of the schedule; 0.2 in a regression, unless given.",
    )  # fmt: skip
    batch_size: BatchSize | Literal["auto"] | None = Field(
        256,
        description="At most so many rows a step, evenly divided; null: all rows; auto: 32 to 1024 by their number.",
        json_schema_extra=BASIC,
    )
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(patience=256),
        description="null keeps the last weights; the default trains to the end and keeps the best epoch's.",
        json_schema_extra=BASIC,
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, le=0.5, description="Share of certainty taken from each label; 0.02 for classes, unless given."
    )
    hidden: list[Width] = Field(
        default=[256, 256, 256], max_length=64, description="Width of each hidden layer.", json_schema_extra=BASIC
    )
    dropout: float = Field(
        0.15, ge=0.0, le=0.95, description="Share of hidden units switched off at each step.", json_schema_extra=BASIC
    )
    activation: Literal["selu", "mish"] = Field(
        "selu", description="The function f of the learned activations; mish in a regression, unless given."
    )
    number_embedding: Literal["periodic", "piecewise_linear"] = Field(
        "periodic", description="What is learned of each number beside itself: of its cosines, or of bins it lies in."
    )
    num_bins: int = Field(16, ge=1, le=1024, description="piecewise_linear: bins between quantiles of each number.")
    num_frequencies: int = Field(16, ge=1, le=1024, description="periodic: cosines for each number.")
    frequency_scale: float = Field(0.1, ge=1e-6, le=1e3, description="Standard deviation of their first frequencies.")
    number_width: int = Field(3, ge=1, le=256, description="Values learned for each number, beside itself.")
    max_one_hot: int = Field(9, ge=0, le=10_000, description="Categories with more slots become learned vectors.")
    category_width: int = Field(8, ge=1, le=1024, description="Length of the vector of a category.")
    weight_decay: float = Field(
        0.02, ge=0.0, le=100.0, description="gd, sgd, rmsprop, adam: L2, 0 unless given; others: decoupled."
    )
    beta2: float = Field(
        0.95, ge=0.0, le=0.999999, description="How slowly they, and rmsprop, forget the squares of gradients."
    )
    schedule: Literal["constant", "step", "cosine", "one_cycle", "coslog4", "plateau"] = Field(
        "coslog4", description="How the learning rate changes over the training; coslog4: four ever longer waves."
    )
    warmup_epochs: float = Field(0.0, ge=0.0, le=10_000.0, description="Rise linearly from 0 over these epochs.")
    regularization_schedule: Literal["constant", "flat_cosine"] = Field(
        "flat_cosine", description="flat_cosine: weight decay and dropout fall to 0 in the second half of the training."
    )


def build(layout: Layout, num_outputs: int, params: RealMLPParams, dtype: dtype) -> nn.Module:
    """Return the network.

    Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs).
    Initial weights: layers, biases and category vectors standard normal, scales and activations 1, frequencies normal
    with `frequency_scale`, the rest of the number embeddings uniform. Deterministic: a function of torch's global
    generator.
    """
    from app.learning.networks.realmlp import RealMLP

    return RealMLP(layout, num_outputs, params, dtype)


def num_parameters(layout: Layout, num_outputs: int, params: RealMLPParams) -> int:
    """Return the number of all that is learned: embeddings, scales, layers and activations."""
    if params.number_embedding == "periodic":
        of_one_number = 2 * params.num_frequencies + (params.num_frequencies + 1) * params.number_width
    else:
        of_one_number = (params.num_bins + 1) * params.number_width
    width = layout.num_numbers * (1 + params.number_width)
    width += category_width(layout, params.max_one_hot, params.category_width)
    linear = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise([width, *params.hidden, num_outputs]))
    table = table_parameters(layout, params.max_one_hot, params.category_width)
    return layout.num_numbers * of_one_number + table + width + linear + sum(params.hidden)


def defaults(task: Task, num_rows: int, stated: Stated) -> Mapping[str, Any]:
    """Return fewer epochs for many rows, the paper's rate and activation for a regression, smoothing for classes."""
    of_rows: dict[str, Any] = {"epochs": FEW_EPOCHS} if num_rows >= MANY_ROWS else {}
    if task == "regression":
        return of_rows | {"learning_rate": 0.2, "activation": "mish"}
    smooths = task in CLASSIFICATION and stated.get("loss") != "mse"
    return of_rows | ({"label_smoothing": SMOOTHING} if smooths else {})


REALMLP = Spec(
    name="realmlp",
    version=1,
    summary="RealMLP: a feed-forward network with number embeddings and defaults tuned over many tables.",
    source=(
        "Holzmüller, Grinsztajn and Steinwart, Better by default, NeurIPS 2024, arXiv 2407.04491 (RealMLP-TD), with "
        "less label smoothing, without its initialisation from data; the best epoch is chosen by the validation loss."
    ),
    tasks=("binary", "multiclass", "regression", "soft"),
    params=RealMLPParams,
    build=build,
    num_parameters=num_parameters,
    preparation={"numeric": {"scaling": "robust"}, "category": {"encoding": "index"}},
    takes_indices=True,
    defaults=defaults,
)
