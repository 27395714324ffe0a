"""Read CSV and TSV: find encoding, delimiter and header, then scan with DuckDB, every cell as text."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb

from app.datasets.engine import NUM_THREADS, literal
from app.datasets.limits import MAX_LINE_BYTES, IngestLimits, check_names, invalid, pointer
from app.datasets.progress import start
from app.datasets.reading.giant_lines import refuse_giant_lines
from app.datasets.reading.rejected_lines import MAX_ENTRIES, leave_out_rejected, refuse_rejected
from app.datasets.reading.scan_units import num_rows_per_unit
from app.datasets.reading.source import ANY_CELL, PLAIN, Column, Dialect, Source
from app.datasets.reading.typed_parquet import MAX_COLUMNS_AT_ONCE

MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "Null", "None", "#N/A", "<NA>")
MAX_MISSING_BYTES = max(map(len, MISSING))
DELIMITERS = (",", ";", "\t", "|")
SAMPLE_BYTES = 256 * 2**10
CHUNK_BYTES = 2**20
MIN_BYTES_FOR_THREADS = 2**24
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Without a mark nothing tells the byte order; this is the usual one.
UNMARKED = {"utf-16": "utf-16-le"}
GUESSED = {
    "column": None,
    "code": "encoding-guessed",
    "detail": "The file is not UTF-8, so it was read as Windows-1252 or Latin-1; check letters with accents.",
}


def open_delimited(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    delimiter: str | None,
    limits: IngestLimits,
    dialect: Dialect = PLAIN,
) -> Source:
    """A CSV file as a source; `delimiter` None means: as the dialect says, else find out.

    Encodings: UTF-8 with or without byte order mark, UTF-16 with one, else Windows-1252 or Latin-1. The first
    line is the header. Quotes are double quotes, doubled to escape. Raises Invalid for anything else; lines
    that are no rows can be left out instead and are listed in the details then.
    """
    encoding = detect_encoding(path, dialect.encoding)
    if encoding != "utf-8":
        path = transcode(path, encoding)
    refuse_giant_lines(path)
    sample, complete = _sample(path)
    delimiter = delimiter or (dialect.delimiter if dialect.delimiter != "auto" else _delimiter(sample, complete))
    names = _header(sample, delimiter) if dialect.header else _numbered(sample, delimiter)
    check_names(names, limits)
    relation = _relation(path, delimiter, len(names), dialect)
    is_wide = len(names) > MAX_COLUMNS_AT_ONCE
    columns = [
        Column(name, f"c{i}" if is_wide else _present(f"c{i}"), ANY_CELL, written=f"c{i}")
        for i, name in enumerate(names)
    ]
    details = {"delimiter": delimiter, "encoding": encoding.removesuffix("-sig"), "has_header": dialect.header}
    warnings = [GUESSED] if encoding in ("cp1252", "latin-1") and dialect.encoding == "auto" else []
    source = Source(relation, columns, details, warnings, num_rows_per_unit=num_rows_per_unit(path))
    if dialect.on_bad_lines == "skip":
        source.leave_out_bad_lines = partial(leave_out_rejected, connection, path, source)
    else:
        source.refuse_bad_lines = partial(refuse_rejected, connection, path)
    return source


def detect_encoding(path: Path, told: str = "auto") -> str:
    """The codec that reads the whole file. Raises Invalid for NUL bytes, which no text has."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if not head:
        raise invalid("The file is empty.")
    marked = next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
    if told != "auto":
        return _first_fitting(path, (marked if marked and marked.startswith(told) else UNMARKED.get(told, told),))
    if marked:
        return _first_fitting(path, (marked,))
    return _first_fitting(path, ("utf-8", "cp1252", "latin-1"))


def _first_fitting(path: Path, encodings: tuple[str, ...]) -> str:
    if path.stat().st_size > MIN_BYTES_FOR_THREADS and not encodings[0].startswith("utf-16") and _is_plain_ascii(path):
        return encodings[0]
    for encoding in encodings:
        with contextlib.suppress(UnicodeError):
            _check_text(path, encoding)
            return encoding
    raise invalid(f"The file should be {encodings[0]} text, but is not valid {encodings[0]}.")


def _is_plain_ascii(path: Path) -> bool:
    """Whether there are neither NUL characters nor bytes beyond ASCII, which mean the same in all encodings but UTF-16.

    Most large files are such, and as no byte of them depends on others, two threads share the work.
    """
    num_chunks = -(-path.stat().st_size // CHUNK_BYTES)
    chunks, num_plain, is_over = iter(range(num_chunks)), [0] * NUM_THREADS, False

    def look(thread: int) -> None:
        nonlocal is_over
        with path.open("rb") as stream:
            while not is_over and (number := next(chunks, None)) is not None:
                stream.seek(number * CHUNK_BYTES)
                chunk = stream.read(CHUNK_BYTES)
                if b"\0" in chunk or not chunk.isascii():
                    is_over = True
                    return
                num_plain[thread] += 1

    others = [threading.Thread(target=look, args=(thread,)) for thread in range(1, NUM_THREADS)]
    for other in others:
        start(other)
    look(0)
    for other in others:
        other.join()
    return sum(num_plain) == num_chunks


def _check_text(path: Path, encoding: str) -> None:
    """Raise UnicodeError where the file is not in this encoding, Invalid where it has NUL characters."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            # Pure ASCII, which most of a large file is, means the same in all encodings but UTF-16.
            is_clear = not encoding.startswith("utf-16") and chunk.isascii() and not decoder.getstate()[0]
            if b"\0" in chunk if is_clear else "\0" in decoder.decode(chunk):
                raise invalid("The file has NUL characters: it is not text.")
    decoder.decode(b"", final=True)


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


def _numbered(sample: str, delimiter: str) -> list[str]:
    """Names for the columns of a file without a header."""
    records = _records(sample, delimiter)
    if not records or not records[0]:
        raise invalid("The first line cannot be read.", [(pointer("lines", 1), "has a quote that is not closed")])
    return [f"column_{i}" for i in range(1, len(records[0]) + 1)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_measurement(text: str) -> bool:
    # Plain digits may well be names: years, or the positions that data frames use by default.
    return _is_number(text) and not text.strip().isdigit()


def _relation(path: Path, delimiter: str, num_columns: int, dialect: Dialect) -> str:
    columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(num_columns))
    # Comparing in the query is faster for each cell, but takes time to prepare for each column.
    missing = ("", *MISSING) if num_columns > MAX_COLUMNS_AT_ONCE else ("",)
    words = ", ".join(map(literal, missing))
    return (
        f"read_csv({literal(str(path))}, auto_detect=false, header={dialect.header}, delim={literal(delimiter)}, "
        f"quote='\"', escape='\"', columns={{{columns}}}, nullstr=[{words}], strict_mode=true, "
        f"store_rejects=true, rejects_limit={MAX_ENTRIES[dialect.on_bad_lines]}, max_line_size={MAX_LINE_BYTES})"
    )


def _present(cell: str) -> str:
    """SQL for a cell, NULL where it holds a word for a missing value; the reader itself compares more slowly."""
    is_short = f"strlen({cell}) <= {MAX_MISSING_BYTES}"
    # For short categories, that is for every cell of them, comparisons take half the time of a regular expression.
    is_missing = " OR ".join(f"{cell} = {literal(word)}" for word in MISSING)
    return f"CASE WHEN {is_short} AND ({is_missing}) THEN NULL ELSE {cell} END"
