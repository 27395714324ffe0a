"""The registry of specs: one line per entry; others come through the entry-point group `maas.specs`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from app.learning.errors import LearningError, shown
from app.learning.spec import Spec
from app.learning.specs.dense import DENSE
from app.learning.specs.linear import LINEAR

SPECS: dict[str, Spec] = {
    "dense": DENSE,
    "linear": LINEAR,
}


@cache
def installed() -> dict[str, Spec]:
    """Return our specs and those of installed packages; ours win where names collide."""
    found = {entry.name: entry.load() for entry in entry_points(group="maas.specs")}
    return {name: spec for name, spec in found.items() if isinstance(spec, Spec)} | SPECS


def get(name: str) -> Spec:
    """Return the spec of this name. Raises: LearningError naming the specs there are."""
    specs = installed()
    if name not in specs:
        known = ", ".join(sorted(specs))
        message = f"There is no spec {shown(name)}; there are: {known}."
        raise LearningError(message, code="unknown-spec", pointer="/spec")
    return specs[name]
