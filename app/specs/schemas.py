"""What the spec routes show."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ParameterRead(BaseModel):
    """One parameter, with all that a form needs."""

    name: str
    type: str
    nullable: bool
    default: Any
    minimum: float | None
    maximum: float | None
    choices: list[Any] | None
    level: Literal["basic", "advanced"]
    help: str


class SpecRead(BaseModel):
    """A registered recipe that can be trained."""

    name: str
    object: Literal["spec"] = "spec"
    version: int
    summary: str
    source: str = Field(description="Where the method comes from.")
    tasks: list[str]
    parameters: list[ParameterRead]
    json_schema: dict[str, Any] = Field(description="The parameters as a JSON Schema.")
