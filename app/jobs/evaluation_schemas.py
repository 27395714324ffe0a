"""What an evaluation on request takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.schemas import Limits


class EvaluationCreate(BaseModel):
    """Which rows to measure a version on; all members have defaults: its own test rows, sliced by its inputs."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {},
                {"dataset": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3", "slices": ["island", "sex"]},
                {"against": "penguins@champion"},
            ]
        },
    )

    dataset: str | None = Field(
        None, min_length=1, max_length=64, description="Id of a data set with the same columns; default: its own."
    )
    part: Literal["test", "validation", "train", "all"] | None = Field(
        None, description="Rows of its own data set; default: test, or what comes nearest. Of another one: all."
    )
    slices: list[Annotated[str, Field(min_length=1, max_length=1000)]] | None = Field(
        None, max_length=50, description="Columns of the data set, inputs or not; default: the inputs with few values."
    )
    against: str | None = Field(
        None, min_length=1, max_length=200, description="Another version, to be compared on the same rows."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Of the resampled rows.")
    priority: int = Field(0, ge=-1000, le=1000, description="Higher runs first.")
    limits: Limits = Field(default_factory=Limits)
