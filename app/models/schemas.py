"""What the model routes read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class AliasRead(BaseModel):
    """A name that points at a version; `etag` is what `If-Match` takes."""

    alias: str
    object: Literal["alias"] = "alias"
    model: str
    version: int
    etag: str
    updated_at: datetime


class AliasWrite(BaseModel):
    """Where an alias points from now on."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"version": 2}]})

    version: int = Field(ge=1, le=10**9)


class ModelRead(BaseModel):
    """A model: its newest version and the names of others."""

    id: str
    object: Literal["model"] = "model"
    name: str
    latest_version: int | None
    num_versions: int = Field(description="Versions that still exist.")
    aliases: dict[str, int]
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
