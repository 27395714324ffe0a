"""What the prediction route reads and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.learning.evaluation.conformal import COVERAGES


class PredictRequest(BaseModel):
    """Rows by column name (`rows`), or as a matrix (`data`, with `columns` unless they are in training order)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"rows": [{"island": "Biscoe", "bill_length_mm": 46.1, "flipper_length_mm": 211}]},
                {"columns": ["island", "bill_length_mm"], "data": [["Biscoe", 46.1]]},
                {"rows": [{"island": "Biscoe", "bill_length_mm": 46.1}], "interval": 0.9},
            ]
        },
    )

    rows: list[dict[str, Any]] | None = Field(None, min_length=1)
    columns: list[str] | None = None
    data: list[list[Any]] | None = Field(None, min_length=1)
    interval: float | None = Field(
        None,
        json_schema_extra={"enum": list(COVERAGES)},
        description="Answer each row also with an interval, or a set of labels, that holds the truth this often.",
    )

    id: str | None = Field(None, min_length=1, max_length=256, description="Returned; else the id of the request is.")
    classes: list[str | int | bool] | None = Field(
        None, min_length=1, description="Answer with the probabilities of these classes only."
    )
    probabilities: bool = Field(True, description="Whether to answer with probabilities.")
    top_k: int | None = Field(None, ge=1, description="Answer with the likeliest classes only, the likeliest first.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Of two classes, the second is the label from this probability on."
    )


class WarningRead(BaseModel):
    """Something about one value of one row that the model answered all the same."""

    column: str | None
    code: str = Field(examples=["imputed", "unseen-category"])
    detail: str


class PredictionRead(BaseModel):
    """The answer to one row: `label` and `probabilities` from classifiers, `value` from regressions.

    On request also `set`, the labels among which the truth is with the coverage asked for, or `interval`.
    """

    label: str | int | bool | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    set: list[str | int | bool] | None = None
    interval: list[float] | None = Field(None, min_length=2, max_length=2)
    warnings: list[WarningRead]


class SnapshotRead(BaseModel):
    """Where a job was when it had the weights that answered."""

    job: str
    epoch: int
    step: int


class PredictResponse(BaseModel):
    """One answer per row, in their order, and the version that gave them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "penguins@1",
                    "id": "req_0193",
                    "predictions": [
                        {"label": "Gentoo", "probabilities": {"Adelie": 0.01, "Gentoo": 0.99}, "warnings": []}
                    ],
                }
            ]
        }
    )

    model: str
    id: str = Field(description="The id that the request gave, else the one in `X-Request-Id`.")
    snapshot: SnapshotRead | None = Field(None, description="Only for the best weights so far of a running job.")
    predictions: list[PredictionRead]
