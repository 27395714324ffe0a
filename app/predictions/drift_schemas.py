"""What the route of drift shows."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MissingShares(BaseModel):
    """The share of missing cells."""

    training: float
    now: float


class ColumnDriftRead(BaseModel):
    """How a column has moved since the training."""

    name: str
    type: str
    num_values: int = Field(description="Logged values of this column.")
    missing: MissingShares
    psi: float | None = Field(description="Population stability index; null below 50 values or without a profile.")
    level: Literal["small", "moderate", "large", "unknown"] = Field(description="From 0.1 and from 0.25 on.")
    ks: float | None = Field(None, description="Largest distance of the distributions, of numbers and moments.")
    p_value: float | None = Field(None, description="Chance of such a distance if nothing has changed.")
    new_names: list[str] | None = Field(None, description="The most frequent names that training has not seen.")


class DriftRead(BaseModel):
    """What a version was asked and has answered lately, against the data that it was trained on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "drift", "model": "penguins@1", "dataset": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "since": "2026-11-24T12:00:00Z", "num_rows": 1200,
                    "columns": [{
                        "name": "bill_length_mm", "type": "real", "num_values": 1180,
                        "missing": {"training": 0.006, "now": 0.017}, "psi": 0.31, "level": "large",
                        "ks": 0.22, "p_value": 0.0001,
                    }],
                    "output": {
                        "name": "species", "type": "category", "num_values": 1200,
                        "missing": {"training": 0.0, "now": 0.0}, "psi": 0.04, "level": "small", "new_names": [],
                    },
                }
            ]
        }
    )  # fmt: skip

    object: Literal["drift"] = "drift"
    model: str
    dataset: str = Field(description="The data set that the version was trained on.")
    since: datetime
    num_rows: int = Field(description="Logged rows that were looked at: the newest 50,000 at most.")
    columns: list[ColumnDriftRead]
    output: ColumnDriftRead | None = Field(description="The answers, against the target in training.")
