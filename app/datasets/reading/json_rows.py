"""Read JSON Lines and arrays of JSON objects: check every byte strictly, then scan with DuckDB as text.

DuckDB's own parser lets NaN, trailing commas, repeated names and nested values pass, so a first pass in
Python decides what is JSON and what is a table; the second pass only converts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TextIO

import duckdb

from app.datasets.engine import literal, use_one_thread
from app.datasets.limits import MAX_LINE_BYTES, IngestLimits, check_names, invalid, pointer, shown
from app.datasets.reading.delimited import detect_encoding, transcode
from app.datasets.reading.malformed import MalformedLines
from app.datasets.reading.source import BOOLEAN_CELL, NUMBER_CELL, PLAIN, STRING_CELL, Column, Dialect, Source
from app.errors import Invalid

Pairs = tuple[tuple[str, Any], ...]
Place = tuple[str | int, ...]

KINDS = {int: "number", float: "number", bool: "boolean", str: "string"}
CANDIDATES = {"number": NUMBER_CELL, "boolean": BOOLEAN_CELL, "string": STRING_CELL}
MAX_REMEMBERED_SHAPES = 10_000
ONE_OBJECT = " It is one object: send a list of rows, [{…}, {…}], or JSON Lines, one row as an object on each line."


def open_json_lines(
    connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect = PLAIN
) -> Source:
    """JSON Lines as a source.

    Absent members and null are missing. Raises Invalid, naming the line, for anything that is not strict JSON,
    for values in values, and for names used twice in one object; or leaves such lines out, if the dialect says so.
    """
    path = _utf8(path)
    shapes = _Shapes(limits)
    if dialect.on_bad_lines == "skip":
        path, malformed = _skim(path, shapes)
        source = _source(connection, path, "newline_delimited", shapes)
        return replace(
            source, details=source.details | malformed.details(), warnings=malformed.warnings() + source.warnings
        )
    for place, line in _lines(path):
        shapes.add(place, _row(place, line))
    return _source(connection, path, "newline_delimited", shapes)


def open_json_array(
    connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect = PLAIN
) -> Source:
    """An array of JSON objects as a source; as strict as JSON Lines, naming the row."""
    path = _utf8(path)
    shapes = _Shapes(limits)
    for place, row in _elements(path):
        shapes.add(place, row)
    return _source(connection, path, "array", shapes)


def _utf8(path: Path) -> Path:
    encoding = detect_encoding(path)
    if not encoding.startswith("utf-8"):
        raise invalid("JSON must be UTF-8, and the file is not.")
    return transcode(path, encoding) if encoding == "utf-8-sig" else path


def _source(connection: duckdb.DuckDBPyConnection, path: Path, layout: str, shapes: _Shapes) -> Source:
    kinds = shapes.kinds
    if not kinds:
        raise invalid("The file has no rows of data.")
    check_names(list(kinds), shapes.limits)
    # DuckDB 2.0 with two threads may put a last line without a line end first.
    use_one_thread(connection)
    members = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in kinds)
    aliases = ", ".join(f"c{i}" for i in range(len(kinds)))
    relation = (
        f"read_json({literal(str(path))}, format='{layout}', columns={{{members}}}, "
        f"maximum_object_size={2 * MAX_LINE_BYTES}) AS rows({aliases})"
    )
    columns = [
        Column(name, f"c{i}", CANDIDATES[min(found)] if len(found) == 1 else ())
        for i, (name, found) in enumerate(kinds.items())
    ]
    warnings = [_mixed(name, found) for name, found in kinds.items() if len(found) > 1]
    return Source(relation, columns, {"encoding": "utf-8"}, warnings)


class _Shapes:
    """The kinds of values under each name, in the order in which the names first appear."""

    def __init__(self, limits: IngestLimits) -> None:
        self.limits = limits
        self.kinds: dict[str, set[str]] = {}
        self._seen: set[tuple[tuple[str, ...], tuple[type, ...]]] = set()

    def add(self, place: Place, row: Any) -> None:
        """Take note of a row. Raises Invalid, and takes none, when it is not a flat object."""
        if type(row) is not tuple:
            raise _refusal(place, "is not an object")
        names, values = zip(*row, strict=True) if row else ((), ())
        shape = (names, tuple(map(type, values)))
        if shape in self._seen:
            return
        _check_shape(place, *shape)
        for name, kind in zip(*shape, strict=True):
            found = self.kinds.setdefault(name, set())
            if kind is not type(None):
                found.add(KINDS[kind])
        if len(self.kinds) > self.limits.columns:
            check_names(list(self.kinds), self.limits)
        if len(self._seen) < MAX_REMEMBERED_SHAPES:
            self._seen.add(shape)


def _check_shape(place: Place, names: tuple[str, ...], types: tuple[type, ...]) -> None:
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise _refusal(place, f"has the name {shown(repeated)} more than once")
    for name, kind in zip(names, types, strict=True):
        if kind in (list, tuple):
            raise _refusal((*place, name), f"has a nested value in column {shown(name)}; rows must be flat")


def _skim(path: Path, shapes: _Shapes) -> tuple[Path, MalformedLines]:
    """A copy of the good lines, and the others."""
    good, malformed, num_good = Path("good.ndjson"), MalformedLines(), 0
    with good.open("wb") as target:
        for place, line in _lines(path):
            try:
                shapes.add(place, _row(place, line))
            except Invalid as fault:
                malformed.add(int(place[1]), fault.errors[0]["detail"])
            else:
                num_good += 1
                target.write(line.rstrip(b"\r\n") + b"\n")
    malformed.check(num_good)
    return good, malformed


def _lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Lines with more than white space in them; of one that is too long, as much as shows that it is."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if line.strip(b" \t\r\n"):
                yield ("lines", number), line
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES + 1) or b"\n"


def _row(place: Place, line: bytes) -> Any:
    """The value of a line. Raises Invalid when it has none."""
    if len(line) > MAX_LINE_BYTES:
        raise _refusal(place, f"is longer than {MAX_LINE_BYTES:,} bytes")
    if line.strip() in (b"{", b"["):
        raise _refusal(place, "is only the start of a JSON value; JSON Lines have a whole object on every line")
    try:
        row = DECODER.decode(line.decode())
    except (ValueError, RecursionError) as fault:
        raise _refusal(place, f"is not JSON: {_reason(fault)}") from None
    if b"\\u" in line:
        _check_text(place, row)
    return row


def _elements(path: Path) -> Iterator[tuple[Place, Any]]:
    """The elements of the array, one at a time, from a window of text that moves over the file."""
    with path.open(encoding="utf-8", newline="") as stream:
        window = _Window(stream)
        if (first := window.next_character()) != "[":
            raise invalid(f"The file is not a JSON array of objects.{ONE_OBJECT if first == '{' else ''}")
        number = 0
        separator = "," if window.peek() != "]" else window.next_character()
        while separator == ",":
            number += 1
            place = ("rows", number)
            try:
                row, text = window.next_value()
            except (ValueError, RecursionError) as fault:
                raise _refusal(place, f"is not JSON: {_reason(fault)}") from None
            if "\\u" in text:
                _check_text(place, row)
            yield place, row
            separator = window.next_character()
        if separator != "]":
            raise _refusal(("rows", number), "is followed by neither a comma nor the end of the array")
        if window.peek():
            raise invalid("The file goes on after the end of the JSON array.")


class _Window:
    """Text of a file from a moving position on, always with the longest allowed element in view."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.text = ""
        self.position = 0
        self.is_last = False

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        if len(self.text) - self.position < MAX_LINE_BYTES and not self.is_last:
            more = self.stream.read(4 * MAX_LINE_BYTES)
            self.text, self.position = self.text[self.position :] + more, 0
            self.is_last = not more
        match = WHITE_SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position
        if self.position == len(self.text) and self.text:
            self.text, self.position = "", 0
            return self.peek()
        return self.text[self.position : self.position + 1]

    def next_character(self) -> str:
        """Take one character that is not white space."""
        character = self.peek()
        self.position += len(character)
        return character

    def next_value(self) -> tuple[Any, str]:
        """Take one JSON value; returns it with its text. Raises ValueError where there is none."""
        self.peek()
        start = self.position
        value, self.position = DECODER.raw_decode(self.text, start)
        return value, self.text[start : self.position]


def _check_text(place: Place, row: Any) -> None:
    """Refuse characters that no text file has and only an escape can smuggle in."""
    for name, cell in row if type(row) is tuple else ():
        if not _is_storable(name):
            raise _refusal(place, "has a name with a NUL character or half of a surrogate pair")
        if type(cell) is str and not _is_storable(cell):
            raise _refusal((*place, name), "has a NUL character or half of a surrogate pair")


def _is_storable(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{shown(text, 24)} is too large for a number")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


WHITE_SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_float=_finite, parse_constant=_no_constant)


def _reason(fault: Exception) -> str:
    if isinstance(fault, json.JSONDecodeError):
        return fault.msg[:1].lower() + fault.msg[1:]
    if isinstance(fault, UnicodeDecodeError | RecursionError):
        return "nested too deeply" if isinstance(fault, RecursionError) else "not UTF-8"
    return str(fault) if len(str(fault)) < 80 else "a number has too many digits"


def _refusal(place: Place, detail: str) -> Exception:
    where = f"{'Line' if place[0] == 'lines' else 'Row'} {place[1]}"
    return invalid(f"{where} {detail}.", [(pointer(*place), detail)])


def _mixed(name: str, found: set[str]) -> dict[str, str | None]:
    kinds = " and ".join(sorted(found))
    return {"column": name, "code": "mixed-types", "detail": f"Holds {kinds} values; kept as text."}
