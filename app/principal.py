"""Who is asking: the project, the key and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["read", "datasets:write", "jobs:write", "predict", "models:write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Principal:
    """The holder of a key during one request; `admin` may do everything inside its project.

    `sticky` names whom the request is for: of a split alias the same one always gets the same version.
    """

    project_id: str
    key_id: str
    scopes: frozenset[str]
    model: str | None = None
    request_id: str | None = None
    sticky: str | None = None

    def may(self, scope: str) -> bool:
        """Whether the key carries this scope."""
        return scope in self.scopes or "admin" in self.scopes
