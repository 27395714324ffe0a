"""What the model routes read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class ModelRead(BaseModel):
    """A model: its newest version and the names of others."""

    id: str
    object: Literal["model"] = "model"
    name: str
    latest_version: int | None
    num_versions: int = Field(description="Versions that still exist.")
    aliases: dict[str, int] = Field(
        description="The version each points at; of a split, the one with the greatest weight."
    )
    created_at: datetime


class VersionRead(BaseModel):
    """One trained version."""

    model: str
    version: int
    object: Literal["model_version"] = "model_version"
    reference: str = Field(description="How predictions name it, such as churn@3.")
    status: Literal["ready", "corrupt"]
    spec: str
    task: str
    digests: dict[str, str] = Field(
        description="SHA-256 of weights, graph, evaluation, manifest, data set as sent, and table as read."
    )
    lineage: dict[str, Any] = Field(description="The job and the data set it came from.")
    metrics: dict[str, Any]
    size_bytes: int
    created_at: datetime
    manifest: dict[str, Any] = Field(description="All that a prediction needs besides the weights.")
