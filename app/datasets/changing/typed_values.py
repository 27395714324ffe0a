"""JSON values of a request as values that a column of a type can hold."""

from __future__ import annotations

from typing import Any

from app.datasets.asking import condition_values

INTEGERS = range(-(2**63), 2**63)
WANTED = {
    "boolean": "true or false",
    "integer": "a whole number of 64 bits",
    "real": "a number",
    "datetime": "a date and time such as 2024-05-01T10:00:00Z",
}


def typed(value: Any, kind: str) -> Any:
    """The value as it is held: moments as microseconds since 1970.

    Raises: ValueError that says what is wanted, and not what was given.
    """
    wanted = ValueError(WANTED.get(kind, "text"))
    try:
        found = condition_values.typed(value, kind)
    except ValueError:
        raise wanted from None
    if kind != "integer":
        return found
    if found % 1 or int(found) not in INTEGERS:
        raise wanted
    return int(found)
