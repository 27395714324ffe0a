"""What a reference means, told without loading the model: its version, its inputs, its classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.models import service as models
from app.models.reference import BEST, parse
from app.principal import Principal


@dataclass(frozen=True)
class Described:
    """A version as its manifest describes it; `version` is `best` for the best weights so far of a running job."""

    name: str
    version: str
    model_id: str
    number: int
    manifest: dict[str, Any]

    @property
    def reference(self) -> str:
        """How requests name it."""
        return f"{self.name}@{self.version}"


def describe(session: Session, principal: Principal, reference: str) -> Described:
    """The version that a reference means. Raises: NotFound; Invalid when it is no reference."""
    parsed = parse(reference)
    best = models.find_snapshot(session, principal, parsed.name) if parsed.alias == BEST else None
    if best is not None:
        return Described(parsed.name, BEST, best.job_id, best.step, best.manifest)
    row = models.get_version(session, principal, parsed)
    return Described(parsed.name, str(row.version), row.model_id, row.version, row.manifest)
