"""Columns that would be numbers, were some of them not too large to be held exactly: kept as text, with a warning."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from app.datasets.reading.casts import EXACT_INTEGERS, REAL, STRINGS

NUMBER = re.compile(REAL)
MAX_DIGITS = 1_000
CODE = "numbers-as-text"
DETAIL = "Some numbers are too large to be held exactly, so the column is kept as text."


def warn_of_lost_numbers(columns: Iterable[dict[str, Any]], warnings: list[dict[str, Any]]) -> None:
    """Add a warning for each described column of text whose examples are all numbers, and one of them too large."""
    warned = {warning["column"] for warning in warnings if warning["code"] == CODE}
    warnings += [
        {"column": column["name"], "code": CODE, "detail": DETAIL}
        for column in columns
        if column["type"] in STRINGS and column["name"] not in warned and _are_lost(column["examples"])
    ]


def _are_lost(examples: list[Any]) -> bool:
    are_numbers = all(isinstance(text, str) and len(text) <= MAX_DIGITS and NUMBER.fullmatch(text) for text in examples)
    return are_numbers and any(_is_too_large(text) for text in examples)


def _is_too_large(text: str) -> bool:
    number = float(text)
    is_whole = text.strip().lstrip("+-").isdigit()
    return math.isinf(number) or (is_whole and abs(number) >= EXACT_INTEGERS and int(text) != number)
