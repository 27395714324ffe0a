"""What the routes of shadows read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.traffic.schemas import Share, VersionNumber


class ShadowWrite(BaseModel):
    """Which version answers beside an alias, and how many of the requests."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"version": 4}, {"version": 4, "share": 0.1}]}
    )

    version: VersionNumber
    share: Share = Field(1.0, description="Share of the requests that are shown to it.")


class ShadowErrorRead(BaseModel):
    """A request that the shadow could not answer."""

    at: datetime
    detail: str


class LatencyRead(BaseModel):
    """Time to compute an answer, in milliseconds."""

    mean_ms: float
    max_ms: float


class ShadowRead(BaseModel):
    """What is known of a shadow since it was set; figures of all processes, half a second old."""

    object: Literal["shadow"] = "shadow"
    model: str
    alias: str
    version: int
    share: float
    num_requests: int = Field(description="Requests whose answers were compared.")
    num_rows: int = Field(description="Rows in them.")
    num_failed: int = Field(description="Requests that the shadow could not answer.")
    num_dropped: int = Field(description="Requests that it was not shown, because it was too far behind.")
    equal_labels: float | None = Field(description="Share of rows with the same label; None of values.")
    mean_absolute_difference: float | None = Field(
        description="Between the probabilities of each class, or between the values, over all rows."
    )
    latency: LatencyRead | None = Field(description="Of the versions that answered.")
    shadow_latency: LatencyRead | None
    last_errors: list[ShadowErrorRead]
    created_at: datetime
