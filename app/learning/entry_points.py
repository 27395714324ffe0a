"""Specs that installed packages offer under the entry-point group `maas.specs`; imports no torch, and lets none in.

A package that cannot be used is left out with a warning in the log, and the others work: it must not be able to keep a
server from starting. Deterministic: packages are taken in the order of their names.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from app.learning.errors import shown
from app.learning.layout import Layout
from app.learning.spec import NAME, Spec, describe

GROUP = "maas.specs"
log = logging.getLogger("maas.specs")


@dataclass(frozen=True, slots=True)
class Offer:
    """What one entry point came to: a spec, or the fault that keeps it out; `package` has name and version."""

    name: str
    package: str
    module: str
    spec: Spec | None = None
    fault: str = ""


def offers(taken: Container[str]) -> list[Offer]:
    """Load what installed packages offer under names that are not `taken`; each fault is logged."""
    found: list[Offer] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _package(entry))):
        by_others = {offer.name: offer.package for offer in found if offer.spec is not None}
        if entry.name in taken:
            offer = _refused(entry, "a spec of the service has this name")
        elif entry.name in by_others:
            offer = _refused(entry, f"the package {by_others[entry.name]} offers this name, too")
        else:
            offer = _load(entry)
        if offer.fault:
            log.warning("spec %s of the package %s is left out: %s", offer.name, offer.package, offer.fault)
        found.append(offer)
    return found


def folders(found: list[Offer]) -> list[Path]:
    """Return where the packages of usable specs lie: their networks may import more of them when they are built."""
    tops = {offer.module.partition(".")[0] for offer in found if offer.spec is not None}
    places: set[str] = set()
    for module in (sys.modules[top] for top in tops if top in sys.modules):
        alone = [module.__file__] if module.__file__ else []
        places.update(getattr(module, "__path__", alone))
    return [Path(place) for place in sorted(places)]


def _load(entry: EntryPoint) -> Offer:
    try:
        with _without_torch():
            spec = entry.load()
        _check(entry.name, spec)
    except (Exception, SystemExit) as fault:  # code of others may raise whatever it likes
        return _refused(entry, f"{type(fault).__name__}: {fault}")
    return Offer(entry.name, _package(entry), entry.module, spec=spec)


def _check(name: str, spec: Any) -> None:
    """Use a spec as the service will, once, where a failure is its own. Raises: ValueError, or what it raises."""
    if not isinstance(spec, Spec):
        raise ValueError(f"it is no Spec but of type {type(spec).__name__}")
    if spec.name != name or not re.fullmatch(NAME, name):
        raise ValueError(f"its entry point is named {shown(name)} and the spec {shown(spec.name)}")
    if not isinstance(spec.version, int):
        raise ValueError("its version is not a whole number")
    json.dumps(describe(spec))
    spec.num_parameters(Layout(1), 1, spec.params())


def _refused(entry: EntryPoint, fault: str) -> Offer:
    return Offer(entry.name, _package(entry), entry.module, fault=fault)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


class _NoTorch(MetaPathFinder):
    """Refuses the import of torch, which costs a server seconds and hundreds of megabytes."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname == "torch":
            raise ImportError("a spec must import torch inside of `build`, not with its module")
        return None


@contextmanager
def _without_torch() -> Iterator[None]:
    """Let no import of torch through, unless this process has it already, as those have that train."""
    finder = _NoTorch()
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
