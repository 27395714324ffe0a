"""Which rows of a table, in which order: conditions and sorting as clients write them, checked against its columns.

    age>=30    name contains ann    city in (Oslo|Bergen)    score missing    {"column": …, "op": …, "value": …}

Several conditions must all hold. A missing cell satisfies `missing` and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.datasets.asking.condition_values import typed
from app.datasets.limits import shown
from app.errors import Invalid

COMPARISONS = ("!=", "<=", ">=", "=", "<", ">")
TEXT_OPS = ("contains", "starts_with")
WITHOUT_VALUE = ("missing", "present")
OPS = (*COMPARISONS, *TEXT_OPS, "in", *WITHOUT_VALUE)
TEXT_TYPES = frozenset({"category", "text", "identifier"})
# A column of two values has no order that anybody asks for.
NOT_FOR_BOOLEANS = frozenset({"<", "<=", ">", ">=", *TEXT_OPS})
WRITTEN = re.compile(rf"\s*({'|'.join(COMPARISONS)})(.*)", re.DOTALL)
WRITTEN_WORD = re.compile(r"\s+(contains|starts_with|in|missing|present)(?:\s+(.*)|\s*(\(.*))?", re.DOTALL)
MAX_CONDITIONS = 50
MAX_CHOICES = 1_000
MAX_SORTED_COLUMNS = 20

Columns = Mapping[str, str]


@dataclass(frozen=True)
class Condition:
    """What a cell of one column must satisfy; its value is plain JSON, moments are microseconds since 1970."""

    column: str
    type: str
    op: str
    value: Any = None


@dataclass(frozen=True)
class Ordering:
    """A column to sort by; rows where it is missing come last either way."""

    column: str
    descending: bool = False


def parse_conditions(
    written: Sequence[Any], columns: Columns, *, pointer: str = "query:filter"
) -> tuple[Condition, ...]:
    """Conditions from texts or JSON objects; `columns` maps the names of the table to their types.

    Raises: Invalid at `pointer`, naming the column, the operator or the value that is wrong.
    """
    if len(written) > MAX_CONDITIONS:
        raise refusal(pointer, f"There are {len(written):,} conditions; at most {MAX_CONDITIONS} are read.")
    return tuple(parse_condition(item, columns, pointer=pointer) for item in written)


def parse_condition(written: Any, columns: Columns, *, pointer: str) -> Condition:
    """One condition from a text or a JSON object. Raises: Invalid at `pointer`."""
    item = _json(written) if isinstance(written, str) else written
    if isinstance(item, Mapping):
        column, op, value = _members(item, pointer)
    elif isinstance(written, str):
        column, op, value = _split(written, columns, pointer)
    else:
        raise refusal(pointer, "A condition is a text such as age>=30, or an object with column, op and value.")
    if column not in columns:
        raise refusal(pointer, f"There is no column {shown(column)}.")
    kind = columns[column]
    _check_op(column, kind, op, pointer)
    if op in WITHOUT_VALUE:
        return Condition(column, kind, op)
    choices = value if op == "in" else [value]
    if not isinstance(choices, list) or not 0 < len(choices) <= MAX_CHOICES:
        raise refusal(pointer, f"'in' takes a list of 1 to {MAX_CHOICES:,} values, such as {column} in (a|b).")
    try:
        values = [typed(choice, kind) for choice in choices]
    except ValueError as fault:
        raise refusal(pointer, f"Column {shown(column)}: {fault}") from None
    return Condition(column, kind, op, values if op == "in" else values[0])


def parse_sort(written: str | None, columns: Columns, *, pointer: str = "query:sort") -> tuple[Ordering, ...]:
    """`age`, `-age,name` or a JSON list of such names, a minus for descending. Raises: Invalid."""
    names = _names(written, {*columns, *(f"-{name}" for name in columns)}, pointer)
    orders = [Ordering(name) if name in columns else Ordering(name[1:], descending=True) for name in names]
    if len(orders) > MAX_SORTED_COLUMNS:
        raise refusal(pointer, f"Rows are sorted by at most {MAX_SORTED_COLUMNS} columns.")
    _refuse_repeated([order.column for order in orders], pointer)
    return tuple(orders)


def parse_columns(written: str | None, columns: Columns, *, pointer: str = "query:columns") -> tuple[str, ...]:
    """`a,b` or a JSON list of names; nothing means every column. Raises: Invalid."""
    names = _names(written, columns.keys(), pointer)
    _refuse_repeated(names, pointer)
    return tuple(names or columns)


def refusal(pointer: str, detail: str) -> Invalid:
    """The refusal of a condition, an order or a choice of columns."""
    return Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])


def _json(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _members(item: Mapping[str, Any], pointer: str) -> tuple[str, str, Any]:
    column, op = item.get("column"), item.get("op")
    if not isinstance(column, str) or not isinstance(op, str):
        raise refusal(pointer, "A condition has the members column and op, both texts, and mostly value.")
    unknown = sorted(set(map(str, item)) - {"column", "op", "value"})
    if unknown:
        raise refusal(pointer, f"A condition has no member {shown(unknown[0])}.")
    if op in WITHOUT_VALUE and item.get("value") is not None:
        raise refusal(pointer, f"'{op}' takes no value.")
    return column, op, item.get("value")


def _split(text: str, columns: Columns, pointer: str) -> tuple[str, str, Any]:
    """Column, operator and value of a text; of several columns that fit, the one with the longest name."""
    for column in sorted((name for name in columns if text.startswith(name)), key=len, reverse=True):
        rest = text[len(column) :]
        if found := WRITTEN.fullmatch(rest):
            return column, found[1], found[2].strip()
        if found := WRITTEN_WORD.fullmatch(rest):
            return column, found[1], _operand(found[1], found[2] or found[3], pointer)
    name = re.split(r"\s*(?:[!<>=]|\s(?:contains|starts_with|in|missing|present)\b)", text, maxsplit=1)[0].strip()
    if name in columns:
        raise refusal(pointer, f"{shown(text)} has no operator that is known; they are {', '.join(OPS)}.")
    raise refusal(pointer, f"There is no column {shown(name)}.")


def _operand(op: str, written: str | None, pointer: str) -> Any:
    """What follows a word: nothing, a value, or a list in parentheses."""
    value = (written or "").strip()
    if op in WITHOUT_VALUE:
        if value:
            raise refusal(pointer, f"'{op}' takes no value.")
        return None
    if op == "in":
        is_list = value.startswith("(") and value.endswith(")")
        return [choice.strip() for choice in value[1:-1].split("|")] if is_list else value
    return value


def _check_op(column: str, kind: str, op: str, pointer: str) -> None:
    if op not in OPS:
        raise refusal(pointer, f"There is no operator {shown(op)}; they are {', '.join(OPS)}.")
    if (op in TEXT_OPS and kind not in TEXT_TYPES) or (op in NOT_FOR_BOOLEANS and kind == "boolean"):
        raise refusal(pointer, f"'{op}' does not go with column {shown(column)}, whose type is {kind}.")


def _names(written: str | None, known: Iterable[str], pointer: str) -> list[str]:
    """Names separated by commas, or a JSON list; a name may hold commas itself, and the longest fits."""
    known = frozenset(known)
    if not written or written in known:
        return [written] if written else []
    listed = _json(written)
    if isinstance(listed, list):
        names = [name if isinstance(name, str) else json.dumps(name) for name in listed]
    else:
        names = _joined(written.split(","), known)
    for name in names:
        if name not in known:
            raise refusal(pointer, f"There is no column {shown(name)}.")
    return names


def _joined(parts: list[str], known: frozenset[str]) -> list[str]:
    most = 1 + max((name.count(",") for name in known), default=0)
    names, start = [], 0
    while start < len(parts):
        lengths = range(min(most, len(parts) - start), 1, -1)
        length = next((n for n in lengths if ",".join(parts[start : start + n]) in known), 1)
        names.append(",".join(parts[start : start + length]))
        start += length
    return names


def _refuse_repeated(names: Sequence[str], pointer: str) -> None:
    if len(set(names)) < len(names):
        repeated = next(name for i, name in enumerate(names) if name in names[:i])
        raise refusal(pointer, f"Column {shown(repeated)} is named twice.")
