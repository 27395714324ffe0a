"""JSON as RFC 8259 means it, within limits: no NaN, no duplicate keys, no lone surrogates, no numbers out of range."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np
import orjson

from app.errors import Malformed

MAX_DEPTH = 32
MAX_TOKENS = 1_000_000
MAX_INTEGER_DIGITS = 19
LONG_BODY = 16_384
# A long integer, once all digits are 0 and all that may stand before one is a comma; a pattern takes ten times as long.
ALIKE = bytes.maketrans(b"123456789:[- \t\n\r", b"000000000,,,,,,,")
LONG_INTEGER = b"," + b"0" * (MAX_INTEGER_DIGITS + 1)
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Possessive, and with a closing quote that may be missing: no byte is looked at twice, whatever the text.
STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+|[\[{]|[\]}]|,', re.DOTALL)


def loads(body: bytes, *, storable: bool = False) -> Any:
    """The value that a UTF-8 JSON text stands for; a storable one has no NUL in its strings.

    Raises: Malformed, with the reason and where there is one the offset.
    """
    value = plain(body)
    if value is not None and not (storable and b"\\u0000" in body):
        return value
    _check_shape(body)
    try:
        text = body.decode("utf-8")
        value = DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise _malformed(f"The body is not UTF-8 at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if ESCAPED_SURROGATE.search(text):
        _refuse_lone_surrogates(value)
    if storable and NUL.search(text):
        raise _malformed("A string holds a NUL character, which cannot be stored.")
    return value


def plain(body: bytes) -> dict[str, Any] | None:
    """The value of a body that is within all limits for sure, many times as fast; None for any other.

    Such a body is an object of scalars, of lists, and of lists of lists or objects. Their brackets, and the members of
    their objects, are all that the text has of '[', '{' and ':': so nothing is nested deeper, no name is given twice,
    and no string holds such a character.
    """
    if LONG_INTEGER in body.translate(ALIKE):
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict:
        return None
    num_opened, num_members = 1, len(value)
    for inner in value.values():
        if type(inner) is list:
            rows = [row for row in inner if type(row) is dict or type(row) is list]
            num_opened += 1 + len(rows)
            num_members += sum([len(row) for row in rows if type(row) is dict])
    is_plain = _count(body, b"[") + _count(body, b"{") == num_opened and _count(body, b":") == num_members
    # There are no more tokens than bytes.
    num_tokens = len(body) if len(body) <= MAX_TOKENS else 2 * num_opened + body.count(b",") + body.count(b'"') // 2
    return value if is_plain and num_tokens <= MAX_TOKENS else None


def _count(body: bytes, character: bytes) -> int:
    """How often a character occurs; in a long body an array counts faster."""
    if len(body) < LONG_BODY:
        return body.count(character)
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord(character)))


def _check_shape(body: bytes) -> None:
    # Few brackets cannot nest deeply, and few bytes hold few tokens: most bodies need no scan.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH and len(body) <= MAX_TOKENS:
        return
    depth = num_tokens = 0
    for match in STRUCTURE.finditer(body):
        num_tokens += 1
        first = match[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _malformed(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        elif first in b"]}":
            depth -= 1
    if num_tokens > MAX_TOKENS:
        raise _malformed(f"The JSON has more than {MAX_TOKENS} tokens.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _malformed(f"An object has the member {json.dumps(name[:64])} twice.")
            seen.add(name)
    return result


def _constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is not JSON; write null for a missing number.")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _malformed(f"The number {text[:32]} is out of range.")
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise _malformed(f"The integer {text[:32]} has more than {MAX_INTEGER_DIGITS} digits.")
    return int(text)


# Made once: a decoder with hooks costs more to make than a small body to read.
DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("A string holds half of a surrogate pair.") from None


def _malformed(detail: str) -> Malformed:
    return Malformed(detail, code="malformed-json")
