"""Answers to questions about stored tables: how two of them differ, which columns know the target."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class Sides(BaseModel):
    """The same figure of two tables."""

    base: float
    other: float


class NumRows(BaseModel):
    """Rows of two tables."""

    base: int
    other: int


class TypeChange(BaseModel):
    """A column of two tables with a type of its own in each."""

    name: str
    base: str
    other: str


class Shift(BaseModel):
    """How far one column moved; figures are null where they mean nothing, as for free text."""

    name: str
    missing_share: Sides
    psi: float | None = Field(description="Population stability index over the cells that are not missing.")
    distance: float | None = Field(
        description="Largest difference of the distribution functions (Kolmogorov-Smirnov) for numbers and moments, "
        "total variation for classes."
    )
    new_values_share: float | None = Field(description="Classes only: share of cells whose value was not in the base.")
    shift: Literal["none", "moderate", "large"] | None = Field(
        description="The index in a word: none below 0.1, moderate below 0.25, else large."
    )


class DiffRead(BaseModel):
    """What one data set has that another has not, and how far each distribution moved."""

    object: Literal["diff"] = "diff"
    base: str
    other: str
    num_rows: NumRows
    is_sampled: bool = Field(description="Whether a table has over a million rows, so that a sample was compared.")
    columns_added: list[str]
    columns_removed: list[str]
    types_changed: list[TypeChange]
    columns: list[Shift]
    warnings: list[dict[str, Any]]


class Score(BaseModel):
    """How well one column alone tells the target."""

    column: str
    score: float


class LeaksRead(BaseModel):
    """Which columns alone tell the target so well that they may have been made from it."""

    object: Literal["leaks"] = "leaks"
    dataset: str
    target: str
    task: Literal["classification", "regression"]
    baseline: float = Field(description="Share of the most frequent class; 0 for a regression.")
    num_rows: int = Field(description="Rows that were looked at.")
    columns: list[Score] = Field(
        description="Share of rows whose class is told right, or of variance explained, best first."
    )
    warnings: list[dict[str, Any]]
