"""What the routes of trials read and show, and what external trainers are told and tell."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.learning.tuning.samplers import State
from app.studies.schemas import EXAMPLE_ID

LARGEST = 1e300
Value = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Step = Annotated[int, Field(ge=0, le=10**9)]


class ReportRead(BaseModel):
    """What a trial had come to at a step."""

    step: int
    value: float


class TrialRead(BaseModel):
    """A trial: parameters, how it ended, what it came to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "number": 5,
                    "object": "trial",
                    "study": EXAMPLE_ID,
                    "state": "completed",
                    "params": {"learning_rate": 0.004, "hidden": [128, 128], "dropout": 0.1},
                    "value": 0.031,
                    "intermediate_values": [{"step": 1, "value": 0.61}, {"step": 60, "value": 0.031}],
                    "pruned_step": None,
                    "job": "job_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "error": None,
                    "created_at": "2026-11-24T09:00:00Z",
                    "expires_at": None,
                    "finished_at": "2026-11-24T09:00:04Z",
                    "duration_seconds": 4.0,
                }
            ]
        }
    )

    number: int
    object: Literal["trial"] = "trial"
    study: str
    state: State
    params: dict[str, Any]
    value: float | None = Field(description="What it came to; null unless it was completed.")
    intermediate_values: list[ReportRead] = Field(
        description="The validation loss by epoch, or what a client reported by step; at most so many, evenly chosen."
    )
    pruned_step: int | None = Field(description="Where it was found to be without hope.")
    job: str | None
    error: dict[str, Any] | None
    created_at: datetime
    expires_at: datetime | None = Field(description="External: given up then, unless something is heard of it.")
    finished_at: datetime | None
    duration_seconds: float | None


class AskRead(BaseModel):
    """A trial for an external trainer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "trial": 7,
                    "object": "suggestion",
                    "study": EXAMPLE_ID,
                    "params": {"learning_rate": 0.004, "hidden": [128, 128], "dropout": 0.1},
                    "expires_at": "2026-11-24T10:00:00Z",
                }
            ]
        }
    )

    trial: int
    object: Literal["suggestion"] = "suggestion"
    study: str
    params: dict[str, Any]
    expires_at: datetime


class Report(BaseModel):
    """What a trial has come to at a step; steps go up."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"step": 3, "value": 0.42}]})

    step: Step = Field(description="Such as the epoch; comparable between trials.")
    value: Value


class ReportAnswer(BaseModel):
    """Whether to go on."""

    object: Literal["report"] = "report"
    prune: bool = Field(description="True: stop now; the trial has ended as pruned, nothing more is to be told.")


class Tell(BaseModel):
    """How a trial ended: a value, or that it failed or was given up."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"value": 0.31}, {"state": "failed"}]}
    )

    value: Value | None = Field(None, description="What it came to.")
    state: Literal["completed", "pruned", "failed"] | None = Field(
        None, description="`completed` with a value; `failed` or `pruned` without."
    )

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.value is not None) != (self.state in (None, "completed")):
            raise ValueError("Send a value, or the state failed or pruned.")
        return self
