"""What the routes of the prediction log read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Truth = (
    Annotated[str, Field(max_length=10_000)]
    | bool
    | Annotated[int, Field(ge=-(2**53), le=2**53)]
    | Annotated[float, Field(allow_inf_nan=False)]
)


class LogRule(BaseModel):
    """Whether answers of a model are logged, and how."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"enabled": True, "sample": 0.1, "keep_days": 30, "leave_out": ["name", "address"]}]
        },
    )

    enabled: bool
    sample: float = Field(1.0, ge=0, le=1, allow_inf_nan=False, description="Share of the requests that are logged.")
    keep_days: int = Field(30, ge=1, le=3650, description="Older rows are removed.")
    leave_out: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(
        default_factory=list, max_length=10_000, description="Columns whose values are not logged."
    )


class LogRuleRead(LogRule):
    """The rule of a model, and what was logged by it."""

    model_config = ConfigDict(json_schema_extra={})

    object: Literal["log_rule"] = "log_rule"
    model: str
    num_rows: int = Field(description="Rows in the log now.")
    updated_at: datetime | None = Field(description="null where nobody has asked for a log yet.")


class LoggedRead(BaseModel):
    """One answered row."""

    id: str
    object: Literal["logged_prediction"] = "logged_prediction"
    request: str = Field(description="The `id` of the answer; with `row` it names the prediction in feedback.")
    row: int = Field(description="Place among the rows of the request, counted from 0.")
    version: int
    inputs: dict[str, Any]
    output: dict[str, Any] = Field(description="The answer, as the request got it.")
    truth: Any = Field(description="What feedback has said; null until then.")
    created_at: datetime


class Feedback(BaseModel):
    """The truth of one prediction."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request: str = Field(min_length=1, max_length=256, description="The `id` of the answer.")
    row: int = Field(0, ge=0, le=10**9, description="Place among the rows of the request, counted from 0.")
    truth: Truth = Field(description="The label or value that turned out to be right.")


class FeedbackCreate(BaseModel):
    """What turned out to be true of predictions; said again, it replaces what was said before."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"data": [{"request": "req_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3", "truth": "Gentoo"}]}]
        },
    )

    data: list[Feedback] = Field(min_length=1, max_length=1000)


class FeedbackRead(BaseModel):
    """What became of feedback."""

    object: Literal["feedback"] = "feedback"
    num_attached: int
    unknown: list[Feedback] = Field(description="Of which nothing is logged: not sampled, not written yet, or removed.")


class QualityRead(BaseModel):
    """How good one version was on the logged rows whose truth is known."""

    version: int
    num_rows: int = Field(description="Logged rows.")
    num_truths: int = Field(description="Those whose truth is known.")
    accuracy: float | None = Field(description="Share of right labels; null for values, or without feedback.")
    rmse: float | None = Field(description="Root of the mean squared error; null for labels, or without feedback.")


class QualitiesRead(BaseModel):
    """How good a model was, by version, newest first."""

    object: Literal["live_quality"] = "live_quality"
    model: str
    data: list[QualityRead]
