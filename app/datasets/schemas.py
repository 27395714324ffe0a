"""What the data set routes show."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ColumnType = Literal["integer", "real", "boolean", "category", "text", "datetime", "identifier"]


class ColumnRead(BaseModel):
    """A typed column and what is known of its values; numeric columns have more members than categories."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: ColumnType
    num_missing: int
    num_distinct: int
    examples: list[Any] = Field(description="A few values as they would stand in a JSON row.")
    policies: dict[str, str] = Field(description="What missing, unseen, out-of-range and wrong values mean.")


class DatasetRead(BaseModel):
    """A version of a table; it never changes once it is ready."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "object": "dataset",
                    "name": "penguins",
                    "version": 1,
                    "status": "ready",
                    "format": "csv",
                    "sha256": "7d8686e372cbc0f53a0147c22d164befdef85b41596c71a5cf64aa916518b3d0",
                    "size_bytes": 15367,
                    "num_rows": 344,
                    "columns": [
                        {
                            "name": "species",
                            "type": "category",
                            "num_missing": 0,
                            "num_distinct": 3,
                            "examples": ["Adelie", "Chinstrap", "Gentoo"],
                            "policies": {"missing": "impute", "unseen": "other"},
                        }
                    ],
                    "source": {"delimiter": ",", "encoding": "utf-8"},
                    "origin": {"operation": "upload"},
                    "parent": None,
                    "job": None,
                    "progress": None,
                    "error": None,
                    "created_at": "2026-11-23T09:00:00Z",
                }
            ]
        }
    )

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    version: int = Field(description="Counts the uploads under this name.")
    status: Literal["processing", "ready", "failed"]
    format: str = Field(description="How the bytes were read: csv, tsv, ndjson, json or parquet.")
    sha256: str = Field(description="Digest of the bytes as they were sent; of the table, where nobody sent them.")
    size_bytes: int
    num_rows: int | None = Field(description="null until the table was read.")
    columns: list[ColumnRead]
    source: dict[str, Any] = Field(description="What was detected: delimiter, encoding and the like.")
    origin: dict[str, Any] = Field(description="What made this version: an upload, or an operation and its steps.")
    parent: str | None = Field(description="The version that this one was made from.")
    job: str | None = Field(description="The job that reads the table, until it is ready.")
    progress: dict[str, Any] | None = Field(description="How far that job is: phase and fraction.")
    error: dict[str, Any] | None = Field(description="Why there will be no table, when the status is `failed`.")
    created_at: datetime


class ColumnPatch(BaseModel):
    """What is to be different about a column."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: ColumnType | None = Field(None, description="Read the column as this type.")
    policies: dict[str, str] = Field(
        default_factory=dict, description="What missing, unseen, out-of-range and wrong values mean from now on."
    )


class DatasetPatch(BaseModel):
    """Types and policies that people know better; they make a new version."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"columns": {"year": {"type": "category"}, "body_mass_g": {"policies": {"missing": "reject"}}}},
                {"extra_columns": "reject"},
            ]
        },
    )

    columns: dict[str, ColumnPatch] = Field(default_factory=dict, description="Changes by column name.")
    extra_columns: Literal["flag", "ignore", "reject"] | None = Field(
        None, description="What a column in a prediction means that the table does not have."
    )


class ProfileRead(BaseModel):
    """What is in a data set: figures per column and warnings."""

    model_config = ConfigDict(extra="allow")

    object: Literal["profile"] = "profile"
    dataset: str
    num_rows: int
    num_columns: int
    columns: list[ColumnRead]
    warnings: list[dict[str, Any]]


class RowsRead(BaseModel):
    """Consecutive rows of a data set."""

    object: Literal["rows"] = "rows"
    dataset: str
    offset: int
    num_rows: int = Field(description="Rows of the whole data set, or those that satisfy the filter.")
    data: list[dict[str, Any]]


class ErasedRead(DatasetRead):
    """A version without somebody's rows, and what still has them or has learned from them."""

    model_config = ConfigDict(json_schema_extra={})

    earlier_versions: list[str] = Field(description="Versions that still hold the rows; delete them to be rid of them.")
    affected_models: list[str] = Field(description="Model versions that were learned from those versions.")


class Relative(BaseModel):
    """A version in the line of another."""

    id: str
    name: str
    version: int
    status: str
    operation: str = Field(description="What made it from the version before.")


class LineageRead(BaseModel):
    """What a data set was made from, and what was made from it."""

    object: Literal["lineage"] = "lineage"
    dataset: str
    ancestors: list[Relative] = Field(description="Nearest first; the line ends where a version was deleted.")
    descendants: list[Relative] = Field(description="Oldest first.")
    jobs: list[str] = Field(description="Jobs that learned from this very version.")
    models: list[str] = Field(description="Model versions that were learned from it, as predictions name them.")
