"""What to change about a training that ran out of memory: counted afterwards, where little is left to count with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.learning.errors import LearningError
from app.learning.estimating.fitting import Room, RowsMemory
from app.learning.prepared import plan_of
from app.learning.spec import TrainingParams
from app.learning.stepping import resolve_batch_size

# What measuring and exporting take beside rows and network.
BESIDE_BYTES = 96 << 20


def fitting_params(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters to change, each alone, to their largest values that fit; empty where none is known."""
    try:
        plan = plan_of(request)
        if not isinstance(plan.params, TrainingParams):
            return {}
        num_rows = int(request["dataset"]["num_rows"])
        batch_size = resolve_batch_size(plan.params, num_rows)
        rows = RowsMemory(BESIDE_BYTES, RowsMemory.measured(plan, num_rows, 0).row_bytes)
        room = Room(plan, plan.params, batch_size, num_rows, rows, int(request["memory_bytes"]))
        return room.fitting()
    # A network that cannot be counted, or memory that is not enough even for that: the job has failed all the same.
    except (LearningError, MemoryError, RuntimeError, TypeError, KeyError):
        return {}


def sentence(fitting: Mapping[str, Any]) -> str | None:
    """Return what to do next, or None where nothing better is known than for any training."""
    if not fitting:
        return None
    named = " or ".join(f"{name} {value}" for name, value in fitting.items())
    return f"Start a new job with {named}, with fewer rows, or with a higher limits.memory_bytes."
