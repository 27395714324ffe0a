"""The one grammar for naming a model: `churn`, `churn@3`, `churn@champion`, and `churn@best` while it is trained."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.errors import Invalid

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
ALIAS = r"[A-Za-z][A-Za-z0-9._-]{0,63}"
# The alias that no version can be given: the best weights so far of a running job, then the version they became.
BEST = "best"
REFERENCE = re.compile(rf"({NAME})(?:@(?:([0-9]{{1,9}})|({ALIAS})))?")


@dataclass(frozen=True)
class Reference:
    """A model, and one of its versions by number or alias; neither means the newest version."""

    name: str
    version: int | None = None
    alias: str | None = None


def parse(text: str) -> Reference:
    """The reference a client wrote. Raises: Invalid when it is not one."""
    match = REFERENCE.fullmatch(text)
    if match is None:
        detail = "A model reference is a name, name@version or name@alias, in ASCII letters, digits, '.', '_' and '-'."
        raise Invalid(detail, errors=[{"pointer": "path:reference", "detail": detail}])
    name, version, alias = match.groups()
    return Reference(name, int(version) if version else None, alias)
