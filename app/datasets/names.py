"""Names that clients give: those of data sets have a grammar, those of files are text and never paths."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from app.errors import Invalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_CHARACTERS = 255


def check_name(name: str, *, pointer: str = "query:name") -> str:
    """The name, if it is one of a data set. Raises: Invalid."""
    if not NAME.fullmatch(name):
        detail = "A name is 1 to 128 ASCII letters, digits, '.', '_' and '-', and begins with a letter or digit."
        raise Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])
    return name


def name_of_file(filename: str | None, *, pointer: str = "query:name") -> str:
    """The name of a data set from that of its file. Raises: Invalid."""
    return check_name(PurePosixPath(filename or "").stem, pointer=pointer)


def printable(name: str | None) -> str | None:
    """A text as it is shown and stored: short and without control characters."""
    if name is None:
        return None
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:MAX_CHARACTERS])
