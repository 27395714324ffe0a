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
    """An uploaded table; it never changes once it is ready."""

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
    sha256: str = Field(description="Digest of the bytes as they were sent.")
    size_bytes: int
    num_rows: int
    columns: list[ColumnRead]
    source: dict[str, Any] = Field(description="What was detected: delimiter, encoding and the like.")
    created_at: datetime


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
    num_rows: int = Field(description="Rows of the whole data set.")
    data: list[dict[str, Any]]
