"""What the route of replays reads and shows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ReplayCreate(BaseModel):
    """Which logged rows are answered once more."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{}, {"logged_version": 3, "limit": 5000, "num_shown": 20}]},
    )

    logged_version: int | None = Field(
        None, ge=1, le=10**9, description="Only rows that this version has answered; else those of all versions."
    )
    limit: int = Field(1000, ge=1, le=10_000, description="Rows at most, the newest ones.")
    num_shown: int = Field(10, ge=0, le=100, description="How many rows that differ, or are refused, are shown.")


class DifferentRead(BaseModel):
    """A logged row that the version answers otherwise."""

    id: str
    request: str
    row: int
    version: int = Field(description="Who answered when it was logged.")
    logged: str | int | bool | float = Field(description="The label or value in the log.")
    replayed: str | int | bool | float = Field(description="The label or value of this version.")
    difference: float | None = Field(description="As in `mean_absolute_difference`, of this row.")
    truth: Any = Field(description="What feedback has said; null until then.")


class RefusedRead(BaseModel):
    """A logged row that the version cannot answer."""

    id: str
    request: str
    row: int
    pointer: str = Field(description="The value in `inputs` of the logged row.")
    detail: str


class MissingRead(BaseModel):
    """An input of the version that logged rows do not have."""

    column: str
    num_rows: int = Field(description="Rows without it.")
    left_out: bool = Field(description="Whether the rule of the log leaves it out; else the requests did not send it.")


class ScoreRead(BaseModel):
    """How good answers are, by the feedback on their rows."""

    accuracy: float | None = Field(description="Share of right labels; null for values.")
    rmse: float | None = Field(description="Root of the mean squared error; null for labels.")


class TruthsRead(BaseModel):
    """Both sets of answers to the same rows, those whose truth is known."""

    num_rows: int
    logged: ScoreRead
    replayed: ScoreRead


class ReplayRead(BaseModel):
    """What a version answers to logged rows, against what was answered then."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "replay", "model": "penguins@2", "logged_version": 1,
                    "num_rows": 1000, "num_answered": 999, "num_refused": 1,
                    "equal_labels": 0.99, "mean_absolute_difference": 0.013, "max_absolute_difference": 0.61,
                    "truths": {
                        "num_rows": 40,
                        "logged": {"accuracy": 0.95, "rmse": None},
                        "replayed": {"accuracy": 0.975, "rmse": None},
                    },
                    "missing": [{"column": "sex", "num_rows": 1000, "left_out": True}],
                    "different": [{
                        "id": "log_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3", "request": "req_0193", "row": 0, "version": 1,
                        "logged": "Adelie", "replayed": "Gentoo", "difference": 0.61, "truth": "Gentoo",
                    }],
                    "refused": [{
                        "id": "log_01938f2c7f0a7cc2a1d4b7e6f0a1b2c4", "request": "req_0194", "row": 0,
                        "pointer": "/island", "detail": "a value is required here",
                    }],
                }
            ]
        }
    )  # fmt: skip

    object: Literal["replay"] = "replay"
    model: str = Field(description="The version that answered once more.")
    logged_version: int | None = Field(description="Whose rows these are; null for those of all versions.")
    num_rows: int = Field(description="Logged rows that were looked at; 0 where nothing is logged.")
    num_answered: int = Field(description="Those that the version answered; the figures below are of these.")
    num_refused: int = Field(description="Those that it refused, as it would refuse the request.")
    equal_labels: float | None = Field(description="Share of rows with the same label; null of values.")
    mean_absolute_difference: float | None = Field(
        description="Between the probabilities that are logged, averaged over their classes, or between the values."
    )
    max_absolute_difference: float | None = Field(description="The largest of a row.")
    truths: TruthsRead | None = Field(description="Which answers were right; null without feedback on these rows.")
    missing: list[MissingRead] = Field(description="Inputs that the log does not have; they counted as missing.")
    different: list[DifferentRead] = Field(
        description="Rows with another label, or another value; the largest difference first."
    )
    refused: list[RefusedRead] = Field(description="The newest rows that were refused.")
