"""The right to write for an attempt of a job, and what is written with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class LeaseLost(Exception):
    """The attempt is not this worker's any more: stop at once and write nothing."""


@dataclass(frozen=True)
class Lease:
    """The right to write for one attempt of one job."""

    job_id: str
    epoch: int


@dataclass
class Beat:
    """What an attempt reports in one transaction; an empty one just renews the lease.

    `rewind_to` forgets the curves after a step, because the attempt goes on from there.
    """

    progress: dict[str, Any] | None = None
    phase: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    rewind_to: int | None = None
    points: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    snapshot: dict[str, Any] | None = None
