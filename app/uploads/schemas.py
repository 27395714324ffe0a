"""What the upload routes show."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class UploadRead(BaseModel):
    """A resumable upload (tus 1.0)."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "upl_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "object": "upload",
                    "name": "sales",
                    "filename": "sales.csv",
                    "content_type": "text/csv",
                    "size_bytes": 5000000000,
                    "offset_bytes": 1073741824,
                    "status": "open",
                    "dataset_id": None,
                    "created_at": "2026-11-23T09:00:00Z",
                    "expires_at": "2026-11-24T09:00:00Z",
                }
            ]
        },
    )

    id: str
    object: Literal["upload"] = "upload"
    name: str = Field(description="Name of the data set to be.")
    filename: str | None
    content_type: str | None
    size_bytes: int
    offset_bytes: int = Field(description="Bytes that are stored durably: go on from here.")
    status: Literal["open", "complete"]
    dataset_id: str | None = Field(description="The data set that a complete upload became.")
    created_at: datetime
    expires_at: datetime = Field(description="When the bytes are dropped, unless more arrive before.")
