"""How good a version is, as clients see it: its evaluation with charts as data, and the model card."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Point = Annotated[list[float | None], Field(min_length=2, max_length=2)]
Metrics = dict[str, float]

EXAMPLE_EVALUATION: dict[str, Any] = {
    "object": "evaluation",
    "model": "penguins@1",
    "part": "test",
    "num_rows": 52,
    "task": "multiclass",
    "target": "species",
    "metrics": {"accuracy": 0.98, "log_loss": 0.07},
    "intervals": {"accuracy": [0.94, 1.0], "log_loss": [0.02, 0.16]},
    "level": 0.95,
    "primary_metric": "log_loss",
    "against_linear": {},
    "linear_training": {"num_rows": 240, "num_rounds": 4, "converged": True},
    "coverage": [{"coverage": 0.9, "found": 0.96, "mean_size": 1.02}],
    "charts": {
        "confusion": {
            "kind": "heat_map", "title": "Confusion", "x_label": "answered", "y_label": "true",
            "row_labels": ["Adelie", "Gentoo"], "column_labels": ["Adelie", "Gentoo"], "values": [[30, 1], [0, 21]],
        },
    },
    "slices": [
        {
            "column": "island", "label": "Dream", "low": None, "high": None, "num_rows": 21,
            "metrics": {"accuracy": 0.95, "log_loss": 0.12},
        },
    ],
}  # fmt: skip


class SeriesRead(BaseModel):
    """One curve of a chart."""

    name: str
    style: Literal["line", "dashed", "points"]
    points: list[Point]


class LinesRead(BaseModel):
    """Curves over one pair of axes."""

    kind: Literal["lines"]
    title: str
    x_label: str
    y_label: str
    series: list[SeriesRead]


class BarRead(BaseModel):
    """One bar."""

    label: str
    value: float | None


class BarsRead(BaseModel):
    """Bars, in their order from the top."""

    kind: Literal["bars"]
    title: str
    x_label: str
    bars: list[BarRead]


class HeatMapRead(BaseModel):
    """Numbers of rows in cells."""

    kind: Literal["heat_map"]
    title: str
    x_label: str
    y_label: str
    row_labels: list[str]
    column_labels: list[str]
    values: list[list[float]]


ChartRead = Annotated[LinesRead | BarsRead | HeatMapRead, Field(discriminator="kind")]


class DifferenceRead(BaseModel):
    """The first model's metric minus the second's, on the same rows, resampled in pairs."""

    first: float
    second: float
    difference: float
    interval: Interval
    probability_better: float = Field(description="Share of resamples in which the first is better.")
    p_value: float = Field(description="Two-sided: twice the smaller share on either side of no difference.")


class CoverageRead(BaseModel):
    """How often intervals or sets with a stated coverage held the truth."""

    coverage: float
    found: float
    mean_size: float = Field(description="Mean width of an interval, or mean number of labels in a set.")


class SliceRead(BaseModel):
    """The rows in which a column has one value, or lies between `low` and `high`."""

    column: str
    label: str
    low: float | None
    high: float | None
    num_rows: int
    metrics: Metrics


class LinearTrainingRead(BaseModel):
    """How the linear baseline was trained: on so many rows, for so many rounds of 20 iterations."""

    num_rows: int
    num_rounds: int
    converged: bool


class ComparisonRead(BaseModel):
    """The version that was measured against another one on the same rows."""

    model: str = Field(description="The other version.")
    differences: dict[str, DifferenceRead] = Field(description="By metric: the version minus the other one.")


class OverlapRead(BaseModel):
    """How many of the rows a version knows from its training."""

    train: int = Field(description="Rows that it has learned from.")
    validation: int = Field(description="Rows that chose its best weights and its temperature.")


class EvaluationRead(BaseModel):
    """How good a version is on one set of rows."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_EVALUATION]})

    object: Literal["evaluation"] = "evaluation"
    model: str = Field(description="The version that was measured, such as penguins@1.")
    dataset: str | None = Field(None, description="The data set of the rows, where they were asked for.")
    part: str = Field(description="The rows: of the data set of the training test, validation or train; or all.")
    num_rows: int
    task: str
    target: str
    metrics: Metrics = Field(default_factory=dict)
    intervals: dict[str, Interval] = Field(default_factory=dict, description="Percentile bootstrap of each metric.")
    level: float = Field(0.95, description="Confidence of the intervals.")
    primary_metric: str = Field("", description="Orders the slices.")
    against_linear: dict[str, DifferenceRead] = Field(default_factory=dict, description="Version minus linear model.")
    linear_training: LinearTrainingRead | None = None
    coverage: list[CoverageRead] = Field(default_factory=list, description="On rows that had no part in the training.")
    comparison: ComparisonRead | None = None
    overlap: dict[str, OverlapRead] = Field(
        default_factory=dict, description="By version; other data sets with the same rows are not recognised."
    )
    warnings: list[str] = Field(default_factory=list)
    charts: dict[str, ChartRead] = Field(default_factory=dict)
    slices: list[SliceRead] = Field(default_factory=list, description="Of at least 10 rows, the worst first.")


class CallRead(BaseModel):
    """How to ask a version over one protocol."""

    protocol: Literal["native", "csv", "open-inference", "mlflow", "kserve"]
    url: str
    curl: str = Field(description="Runs as it stands in a shell where `MAAS_KEY` holds a key.")


class CardRead(BaseModel):
    """What somebody should know before using a version."""

    object: Literal["model_card"] = "model_card"
    model: str
    created_at: datetime
    task: str
    target: dict[str, Any]
    classes: list[str | int | bool] | None
    data: dict[str, Any] = Field(description="The data set it learned from, its digest and rows.")
    split: dict[str, Any] = Field(description="How rows were divided, and how many there are in each part.")
    quality: dict[str, Any] = Field(
        description="On the measured part: metrics, intervals, constant and linear baseline, and the difference."
    )
    calibration: dict[str, Any] | None
    conformal: dict[str, Any] | None = Field(description="Quantiles behind `interval` in predictions.")
    coverage: list[CoverageRead]
    worst_slices: list[SliceRead]
    inputs: list[dict[str, Any]]
    training: dict[str, Any] = Field(description="Spec, parameters, seed, how long and why it ended.")
    libraries: dict[str, str]
    limits: list[str] = Field(description="What to keep in mind, in sentences.")
    calls: list[CallRead] = Field(description="One working request for each protocol, made from the inputs.")
