"""What a check of a job shows: the resolved request, and what the training will take."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Seconds(BaseModel):
    """From what is likely the least to what is likely the most."""

    low: float
    high: float


class Counts(BaseModel):
    """From the least to the most."""

    low: int
    high: int


class TimingRead(BaseModel):
    """What a training will take, judged by a few real steps on a sample of its rows."""

    seconds: Seconds = Field(description="From the start of the job to its end, whichever way it ends.")
    seconds_all_epochs: Seconds = Field(description="If nothing ends it early.")
    seconds_earliest_stop: Seconds | None = Field(description="If early stopping ends it as soon as it can.")
    seconds_per_epoch: Seconds
    epochs: Counts = Field(description="The fewest and the most; of an ensemble, networks.")
    steps: Counts | None = Field(description="null for ensembles.")
    memory_bytes: Counts = Field(description="What counts against limits.memory_bytes, at its peak.")
    disk_bytes: dict[str, int] = Field(description="checkpoints, weights, graph, evaluation, and the total.")
    num_parameters: int
    num_rows: dict[str, int] = Field(description="Of the parts: train, validation, test.")
    batch_size: int | None = Field(description="Rows of a step; null for ensembles, whose members have their own.")
    sample_rows: int = Field(description="Rows that were tried.")
    assumed: list[str] = Field(description="What this rests on.")


class ValidationRead(BaseModel):
    """What a job would do and take, without doing it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "job_validation",
                    "plan": {
                        "spec": "dense",
                        "task": "multiclass",
                        "target": "species",
                        "params": {"hidden": [64, 64]},
                    },
                    "limits": {"wall_seconds": 86400, "memory_bytes": 4294967296},
                    "timing": {
                        "seconds": {"low": 0.52, "high": 3.3},
                        "seconds_all_epochs": {"low": 0.7, "high": 3.3},
                        "seconds_earliest_stop": {"low": 0.52, "high": 2.4},
                        "seconds_per_epoch": {"low": 0.0051, "high": 0.0146},
                        "epochs": {"low": 41, "high": 100},
                        "steps": {"low": 328, "high": 800},
                        "memory_bytes": {"low": 59200000, "high": 114300000},
                        "disk_bytes": {"checkpoints": 301824, "weights": 24652, "graph": 25011, "total": 351487},
                        "num_parameters": 5059,
                        "num_rows": {"train": 240, "validation": 52, "test": 52},
                        "batch_size": 32,
                        "sample_rows": 344,
                        "assumed": ["The machine is as busy as it was while this was measured."],
                    },
                    "reason": None,
                }
            ]
        }
    )

    object: Literal["job_validation"] = "job_validation"
    plan: dict[str, Any] = Field(description="The request with every default filled in.")
    limits: dict[str, Any]
    timing: TimingRead | None = Field(description="null when it was not tried.")
    reason: str | None = Field(description="Why there is no timing.")
