"""What the routes of MLflow's and KServe's dialects read and answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.predictions.schemas import PredictionRead

ROW: dict[str, Any] = {"island": "Biscoe", "bill_length_mm": 46.1}
OPTIONS = "Options of native predictions: `interval`, `classes`, `probabilities`, `top_k`, `threshold`."
Rows = list[dict[str, Any] | list[Any]]


class Split(BaseModel):
    """A data frame as its columns and rows."""

    columns: list[str]
    data: list[list[Any]] = Field(min_length=1)
    index: list[Any] | None = None


class InvocationsRequest(BaseModel):
    """Rows in exactly one of four forms."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}},
                {"dataframe_records": [ROW], "params": {"top_k": 1}},
                {"inputs": {name: [value] for name, value in ROW.items()}},
            ]
        },
    )

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: Rows | None = Field(None, description="Objects by column name, or arrays in training order.")
    inputs: dict[str, list[Any]] | Rows | None = Field(None, description="Columns by name, or as `instances`.")
    params: dict[str, Any] | None = Field(None, description=OPTIONS)


class InstancesRequest(BaseModel):
    """Rows as objects by column name, or as arrays in training order."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"instances": [ROW]}]})

    instances: Rows = Field(min_length=1)
    parameters: dict[str, Any] | None = Field(None, description=OPTIONS)


class PredictionsResponse(BaseModel):
    """One answer per row, in their order, as native predictions have them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "predictions": [
                        {"label": "Gentoo", "probabilities": {"Adelie": 0.01, "Gentoo": 0.99}, "warnings": []}
                    ]
                }
            ]
        }
    )

    predictions: list[PredictionRead]
