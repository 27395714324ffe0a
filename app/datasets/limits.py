"""The limits of one ingest, and the refusals that name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.errors import Invalid, TooLarge

GIB = 2**30
MAX_ERRORS = 20
MAX_LINE_BYTES = 2 * 2**20
MAX_NAME_CHARACTERS = 512


@dataclass(frozen=True)
class IngestLimits:
    """What reading one uploaded file may cost, and how large a table it may give."""

    wall_seconds: float = 120.0
    cpu_seconds: int = 240
    memory_bytes: int = GIB
    decoded_bytes: int = 8 * GIB
    columns: int = 10_000
    rows: int = 10**8
    cells: int = 10**9


def check_size(limits: IngestLimits, num_rows: int, num_columns: int) -> None:
    """Raise TooLarge when a table of this size is over a limit, Invalid when it has no rows."""
    if num_columns > limits.columns:
        raise TooLarge(f"The table has {num_columns:,} columns; at most {limits.columns:,} are read.")
    if num_rows > limits.rows:
        raise TooLarge(f"The table has {num_rows:,} rows; at most {limits.rows:,} are read.")
    if num_rows * num_columns > limits.cells:
        raise TooLarge(f"The table has {num_rows * num_columns:,} cells; at most {limits.cells:,} are read.")
    if num_rows == 0:
        raise invalid("The file has no rows of data.")


def invalid(detail: str, errors: Iterable[tuple[str, str]] = ()) -> Invalid:
    """A refusal of the uploaded content; `errors` are pairs of pointer and detail, cut to the first 20."""
    items = [{"pointer": pointer, "detail": text} for pointer, text in errors]
    return Invalid(detail, code="dataset-invalid", errors=items[:MAX_ERRORS])


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901) into the uploaded table: lines, rows or columns."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def shown(value: Any, max_characters: int = 64) -> str:
    """A value of the client's for a message: quoted, escaped and cut."""
    text = str(value)
    cut = text if len(text) <= max_characters else text[: max_characters - 1] + "…"
    return "'" + cut.encode("unicode_escape").decode("ascii") + "'" if not cut.isprintable() else f"'{cut}'"


def check_names(names: list[str], limits: IngestLimits) -> None:
    """Refuse tables without columns, with too many, or with names that are empty, too long or used twice."""
    if not names:
        raise invalid("The file has no columns.")
    if len(names) > limits.columns:
        raise TooLarge(f"The table has {len(names):,} columns; at most {limits.columns:,} are read.")
    errors: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for position, name in enumerate(names, start=1):
        fault = _fault_of_name(name, seen.get(name.lower()))
        seen.setdefault(name.lower(), name)
        if fault:
            place = name if name.isprintable() and 0 < len(name) <= MAX_NAME_CHARACTERS else position
            errors.append((pointer("columns", place), f"column {position} {fault}"))
    if errors:
        raise invalid("Column names must be non-empty and unique: " + errors[0][1] + ".", errors)


def _fault_of_name(name: str, earlier: str | None) -> str | None:
    if not name.strip():
        return "has no name (with pandas, write the file with index=False)"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"has a name of {len(name):,} characters, more than {MAX_NAME_CHARACTERS}"
    if "\0" in name:
        return "has a NUL character in its name"
    if earlier == name:
        return f"repeats the name {shown(name)}"
    if earlier is not None:
        return f"is named {shown(name)}, which differs from {shown(earlier)} only in case"
    return None
