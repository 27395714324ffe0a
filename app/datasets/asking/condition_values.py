"""The value of a condition in the type of its column: a number, true or false, a moment, or a text."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from app.datasets.limits import shown

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
MAX_CHARACTERS = 10_000
MAX_INTEGER = 10**30


def typed(value: Any, kind: str) -> Any:
    """The value for a column of this type, as plain JSON; moments in microseconds since 1970.

    Raises: ValueError, whose text says what is wrong.
    """
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        raise ValueError(f"a value has at most {MAX_CHARACTERS:,} characters.")
    if kind in ("integer", "real"):
        return _number(value, kind)
    if kind == "boolean":
        return _boolean(value)
    if kind == "datetime":
        return _moment(value)
    return _text(value)


def _number(value: Any, kind: str) -> int | float:
    if isinstance(value, str) and INTEGER.fullmatch(value) and kind == "integer":
        return int(value)
    number = float(value) if isinstance(value, str) and REAL.fullmatch(value) else value
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) < MAX_INTEGER:
        return number if kind == "integer" else float(number)
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise ValueError(f"{shown(value)} is not a number that can be compared with its cells.")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(f"{shown(value)} is neither true nor false.")


def _moment(value: Any) -> int:
    if isinstance(value, str) and MOMENT.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            return (moment - EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{shown(value)} is not a date, or a moment such as 2024-05-01T12:00:00Z.")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a text.")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a text holds characters that no cell can hold.")
    return value
