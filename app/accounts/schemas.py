"""What the account routes read and write."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.principal import Scope


class KeyCreate(BaseModel):
    """A key to make; it can do no more than the key that makes it."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "nightly training", "scopes": ["read", "jobs:write"]}]},
    )

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$", description="What the key is for.")
    scopes: list[Scope] = Field(min_length=1, max_length=6, description="What the key may do.")
    expires_at: AwareDatetime | None = Field(
        None, strict=False, description="When the key stops working; null means never."
    )
    model: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Bind the key to one model; only `read` and `predict` can be bound.",
    )


class KeyRead(BaseModel):
    """A key without its secret."""

    id: str
    object: Literal["key"] = "key"
    name: str
    scopes: list[Scope]
    model: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyCreated(KeyRead):
    """A new key; `key` is shown this once, and is null when an Idempotency-Key repeats the answer."""

    key: str | None = Field(description="Send it as `Authorization: Bearer <key>`. It cannot be read again.")


class ProjectRead(BaseModel):
    """The boundary of who sees what."""

    id: str
    object: Literal["project"] = "project"
    name: str
    created_at: datetime


class AuditRead(BaseModel):
    """One entry of the audit trail; `sha256` covers the entry and the digest before it."""

    seq: int
    object: Literal["audit_entry"] = "audit_entry"
    key_id: str | None
    action: str
    target: str
    outcome: str
    request_id: str | None
    data: dict[str, Any]
    previous_sha256: str
    sha256: str
    created_at: datetime
