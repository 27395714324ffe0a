"""Read CSV and TSV: find encoding, delimiter and header, then scan with DuckDB, every cell as text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb

from app.datasets.engine import literal, rows
from app.datasets.limits import (
    MAX_ERRORS,
    MAX_LINE_BYTES,
    IngestLimits,
    check_names,
    invalid,
    pointer,
)
from app.datasets.source import ANY_CELL, Column, Source

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "Null", "None", "#N/A", "<NA>")
DELIMITERS = (",", ";", "\t", "|")
SAMPLE_BYTES = 256 * 2**10
CHUNK_BYTES = 2**20
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
COUNTED = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
GUESSED = {
    "column": None,
    "code": "encoding-guessed",
    "detail": "The file is not UTF-8, so it was read as Windows-1252 or Latin-1; check letters with accents.",
}
REJECTED = {
    "UNQUOTED VALUE": "has a quote that is not closed, or text after a closing quote",
    "LINE SIZE OVER MAXIMUM": f"is longer than {MAX_LINE_BYTES:,} bytes",
    "INVALID ENCODING": "is not valid text",
}


def open_delimited(
    connection: duckdb.DuckDBPyConnection, path: Path, delimiter: str | None, limits: IngestLimits
) -> Source:
    """A CSV file as a source; `delimiter` None means: find out.

    Encodings: UTF-8 with or without byte order mark, UTF-16 with one, else Windows-1252 or Latin-1. The first
    line is the header. Quotes are double quotes, doubled to escape. Raises Invalid for anything else.
    """
    encoding = detect_encoding(path)
    if encoding != "utf-8":
        path = transcode(path, encoding)
    sample, complete = _sample(path)
    delimiter = delimiter or _delimiter(sample, complete)
    names = _header(sample, delimiter)
    check_names(names, limits)
    relation = _relation(path, delimiter, len(names))
    columns = [Column(name, f"c{i}", ANY_CELL) for i, name in enumerate(names)]
    details = {"delimiter": delimiter, "encoding": encoding.removesuffix("-sig"), "has_header": True}
    warnings = [GUESSED] if encoding in ("cp1252", "latin-1") else []
    return Source(relation, columns, details, warnings, lambda: _refuse(connection, path))


def detect_encoding(path: Path) -> str:
    """The codec that reads the whole file. Raises Invalid for NUL bytes, which no text has."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if not head:
        raise invalid("The file is empty.")
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return _first_fitting(path, (encoding,))
    return _first_fitting(path, ("utf-8", "cp1252", "latin-1"))


def _first_fitting(path: Path, encodings: tuple[str, ...]) -> str:
    for encoding in encodings:
        try:
            for text in _decoded(path, encoding):
                if "\0" in text:
                    raise invalid("The file has NUL characters: it is not text.")
        except UnicodeError:
            continue
        return encoding
    raise invalid(f"The file starts like {encodings[0]} text, but is not valid {encodings[0]}.")


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def transcode(path: Path, encoding: str) -> Path:
    """A UTF-8 copy in the current folder."""
    copy = Path("utf8")
    with copy.open("wb") as stream:
        for text in _decoded(path, encoding):
            stream.write(text.encode("utf-8"))
    return copy


def _sample(path: Path) -> tuple[str, bool]:
    """Text from the start of the file, long enough for the header and some rows; and whether that is all."""
    with path.open("rb") as stream:
        head = stream.read(SAMPLE_BYTES)
        if b"\n" not in head and b"\r" not in head:
            head += stream.read(MAX_LINE_BYTES - len(head))
        complete = not stream.read(1)
    return head.decode("utf-8", errors="ignore"), complete


def _delimiter(sample: str, complete: bool) -> str:
    """The candidate that splits the first rows most evenly, into most fields; a comma when none does."""
    best = (0, 0, ",")
    for position, delimiter in enumerate(DELIMITERS):
        records = _records(sample, delimiter)[:100]
        if not complete and len(records) > 1:
            records.pop()
        width = len(records[0]) if records else 0
        if width > 1:
            even = sum(len(record) == width for record in records)
            best = max(best, (even, width * 10 - position, delimiter))
    return best[2]


def _records(sample: str, delimiter: str) -> list[list[str]]:
    """Leading records of the sample, up to the first that cannot be read."""
    records: list[list[str]] = []
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        for record in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=True):
            records.append(record)
            if len(records) > 100:
                break
    except csv.Error:
        pass
    return records


def _header(sample: str, delimiter: str) -> list[str]:
    records = _records(sample, delimiter)
    if not records or not records[0]:
        raise invalid(
            "The first line must be a header with the names of the columns.",
            [(pointer("lines", 1), "is empty or has a quote that is not closed")],
        )
    names = records[0]
    if any(_is_measurement(name) for name in names) and all(_is_number(name) for name in names):
        raise invalid(
            "The first line must be a header with the names of the columns, but it holds numbers.",
            [(pointer("lines", 1), "holds numbers instead of names")],
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_measurement(text: str) -> bool:
    # Plain digits may well be names: years, or the positions that data frames use by default.
    return _is_number(text) and not text.strip().isdigit()


def _relation(path: Path, delimiter: str, num_columns: int) -> str:
    columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(num_columns))
    missing = ", ".join(literal(word) for word in MISSING)
    return (
        f"read_csv({literal(str(path))}, auto_detect=false, header=true, delim={literal(delimiter)}, "
        f"quote='\"', escape='\"', columns={{{columns}}}, nullstr=[{missing}], strict_mode=true, "
        f"store_rejects=true, rejects_limit={MAX_ERRORS}, max_line_size={MAX_LINE_BYTES})"
    )


def _refuse(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise Invalid when DuckDB has set lines aside, with their line numbers in the file."""
    if not rows(connection, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'"):
        return
    rejected = rows(
        connection,
        "SELECT DISTINCT line_byte_position, error_type, error_message FROM reject_errors "
        f"ORDER BY line_byte_position LIMIT {MAX_ERRORS}",
    )
    if not rejected:
        return
    lines = _line_numbers(path, [offset or 0 for offset, _, _ in rejected])
    errors = []
    for line, (_, kind, message) in zip(lines, rejected, strict=True):
        counts = COUNTED.search(message)
        detail = "has {1} fields where the header has {0}".format(*counts.groups()) if counts else REJECTED.get(kind)
        errors.append((pointer("lines", line), detail or "cannot be read"))
    raise invalid(f"Line {lines[0]} {errors[0][1]}.", errors)


def _line_numbers(path: Path, offsets: list[int]) -> list[int]:
    """The 1-based line at each of these ascending byte offsets."""
    numbers = []
    line, position = 1, 0
    with path.open("rb") as stream:
        for offset in offsets:
            while position < offset:
                chunk = stream.read(min(CHUNK_BYTES, offset - position))
                position += len(chunk) or offset
                line += chunk.count(b"\n")
            numbers.append(line)
    return numbers
