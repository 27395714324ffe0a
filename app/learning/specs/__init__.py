"""The registry of specs: one line per entry; others come through the entry-point group `maas.specs`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from app.learning import entry_points
from app.learning.entry_points import Offer
from app.learning.errors import LearningError, shown
from app.learning.spec import Spec
from app.learning.specs.dense import DENSE
from app.learning.specs.ensemble import AUTO, ENSEMBLE
from app.learning.specs.ft_transformer import FT_TRANSFORMER
from app.learning.specs.linear import LINEAR
from app.learning.specs.realmlp import REALMLP
from app.learning.specs.resnet import RESNET
from app.learning.specs.tabm import TABM

SPECS: dict[str, Spec] = {
    "auto": AUTO,
    "dense": DENSE,
    "ensemble": ENSEMBLE,
    "ft-transformer": FT_TRANSFORMER,
    "linear": LINEAR,
    "realmlp": REALMLP,
    "resnet": RESNET,
    "tabm": TABM,
}

# What is trained when a request names no spec: the best of answers, unless its parameters are those of one network.
DEFAULTS = (ENSEMBLE, DENSE)


@cache
def offered() -> tuple[Offer, ...]:
    """Return what installed packages offer, loaded once; what cannot be used has a fault."""
    return tuple(entry_points.offers(SPECS))


@cache
def installed() -> dict[str, Spec]:
    """Return our specs and those of installed packages."""
    return {offer.name: offer.spec for offer in offered() if offer.spec is not None} | SPECS


def folders() -> list[Path]:
    """Return the folders of the packages that `installed` specs come from."""
    return entry_points.folders(list(offered()))


def default(params: Iterable[str]) -> str:
    """Return the spec for a request without one: the default that has most of these parameters, the first of equals."""
    return max(DEFAULTS, key=lambda spec: len(spec.params.model_fields.keys() & set(params))).name


def get(name: str) -> Spec:
    """Return the spec of this name, or of `name@version`. Raises: LearningError naming the specs there are."""
    name, at, version = name.partition("@")
    specs = installed()
    if name not in specs:
        known = ", ".join(sorted(specs))
        message = f"There is no spec {shown(name)}; there are: {known}."
        raise LearningError(message, code="unknown-spec", pointer="/spec")
    if at and version != str(specs[name].version):
        message = f"Spec {name} has no version {shown(version)} here; it has version {specs[name].version}."
        raise LearningError(message, code="unknown-spec", pointer="/spec")
    return specs[name]
