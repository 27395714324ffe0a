"""What a batch prediction takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.schemas import Limits
from app.learning.evaluation.conformal import COVERAGES

DATASET = "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3"


class PredictionCreate(BaseModel):
    """Which rows a version answers; only `dataset` and `model` are required."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"dataset": DATASET, "model": "penguins@champion"},
                {"dataset": DATASET, "model": "penguins@1", "keep": ["island", "year"], "name": "answered"},
                {"dataset": DATASET, "model": "penguins@1", "interval": 0.9, "prefix": "predicted_"},
            ]
        },
    )

    dataset: str = Field(min_length=1, max_length=64, description="Id of the data set whose rows are answered.")
    model: str = Field(min_length=1, max_length=200, description="`churn`, `churn@3` or `churn@champion`.")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Name of the data set that is made; default: that of the data set and `-predictions`.",
    )
    keep: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(
        default_factory=list,
        max_length=10_000,
        description="Columns of the data set to carry over, before the answers.",
    )
    prefix: str = Field("", max_length=64, description="Begins the names of the columns of answers.")
    probabilities: bool = Field(True, description="Classes: whether each has a column with its probability.")
    interval: float | None = Field(
        None,
        json_schema_extra={"enum": list(COVERAGES)},
        description="Answer each row also with an interval, or a set of labels, that holds the truth this often.",
    )
    priority: int = Field(0, ge=-1000, le=1000, description="Higher runs first.")
    limits: Limits = Field(default_factory=Limits)
