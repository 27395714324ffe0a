"""Lines that the engine sets aside as no rows: the file is refused for them, or they are left out and listed."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from app.datasets.engine import rows
from app.datasets.limits import MAX_ERRORS, MAX_LINE_BYTES, invalid, pointer
from app.datasets.reading.malformed import MAX_LISTED, MalformedLines
from app.datasets.reading.source import Source
from app.errors import Invalid

# The number of a line, and what is wrong with it.
Line = tuple[int, str]

# The engine makes an entry for every field too many, so there are more entries than lines.
MAX_ENTRIES = {"reject": 5_000, "skip": 200_000}
# Of a rejected line the engine keeps no more characters.
MAX_KEPT_CHARACTERS = 10_000
CHUNK_BYTES = 2**20
COUNTED = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
REJECTED = {
    "UNQUOTED VALUE": "has a quote that is not closed, or text after a closing quote",
    "LINE SIZE OVER MAXIMUM": f"is longer than {MAX_LINE_BYTES:,} bytes",
    "INVALID ENCODING": "is not valid text",
}
# The last scan is the one that wrote the table; those before may have stopped early.
LAST_SCAN = "reject_errors WHERE scan_id = (SELECT max(scan_id) FROM reject_errors)"
# The engine counts bytes from 1.
OFFSET = "greatest(coalesce(line_byte_position, 1), 1) - 1"


def refuse_rejected(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise Invalid when the engine has set lines aside, with their numbers in the file."""
    if _has_rejected(connection):
        raise _refusal(_listed(connection, path, MAX_ERRORS))


def leave_out_rejected(connection: duckdb.DuckDBPyConnection, path: Path, source: Source, num_rows: int) -> None:
    """Tell in the source's details which lines are not among the `num_rows` rows.

    Raises Invalid for too many of them, for more of them than rows, and for lines whose end is not known.
    """
    malformed = MalformedLines()
    if _has_rejected(connection):
        query = f"SELECT count(*), count(DISTINCT line_byte_position) FROM {LAST_SCAN}"
        num_entries, num_lines = rows(connection, query)[0]
        listed = _listed(connection, path, MAX_LISTED)
        for line, detail in listed:
            malformed.add(line, detail)
        malformed.add_unlisted(num_lines - len(listed))
        if num_entries >= MAX_ENTRIES["skip"]:
            raise malformed.refusal("more lines are malformed, or have more fields too many, than can be listed")
        malformed.check(num_rows)
        endless = _without_end(connection, path)
        if endless:
            raise _refusal(endless, " Where it ends cannot be known, so it cannot be left out.")
    source.details |= malformed.details()
    source.warnings += malformed.warnings()


def _has_rejected(connection: duckdb.DuckDBPyConnection) -> bool:
    tables = rows(connection, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'")
    return bool(tables and rows(connection, "SELECT 1 FROM reject_errors LIMIT 1"))


def _refusal(lines: list[Line], more: str = "") -> Invalid:
    (first, fault), errors = lines[0], [(pointer("lines", line), detail) for line, detail in lines]
    return invalid(f"Line {first} {fault}.{more}", errors)


def _listed(connection: duckdb.DuckDBPyConnection, path: Path, num_lines: int) -> list[Line]:
    found = rows(
        connection,
        f"SELECT {OFFSET}, arg_max(error_type, coalesce(column_idx, 0)), "
        f"arg_max(error_message, coalesce(column_idx, 0)) FROM {LAST_SCAN} "
        f"GROUP BY line_byte_position ORDER BY line_byte_position LIMIT {num_lines}",
    )
    numbers = _line_numbers(path, [offset for offset, _, _ in found])
    return [(number, _detail(kind, message)) for number, (_, kind, message) in zip(numbers, found, strict=True)]


def _detail(kind: str, message: str) -> str:
    counts = COUNTED.search(message)
    if counts:
        return f"has {counts[2]} fields where the header has {counts[1]}"
    return REJECTED.get(kind, "cannot be read")


def _without_end(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Line]:
    """The first line, if any, that takes whole lines after it with it: an open quote ends who knows where."""
    kept = "rtrim(csv_line, chr(10) || chr(13))"
    found = rows(
        connection,
        f"SELECT {OFFSET}, error_type, "
        f"regexp_matches({kept}, '[\\r\\n]') "
        f"OR (error_type = 'UNQUOTED VALUE' AND length(csv_line) >= {MAX_KEPT_CHARACTERS}) "
        f"FROM {LAST_SCAN} AND error_type IN ('UNQUOTED VALUE', 'LINE SIZE OVER MAXIMUM') ORDER BY line_byte_position",
    )
    for offset, kind, is_endless in found:
        if is_endless or (kind == "LINE SIZE OVER MAXIMUM" and not _is_one_line(path, offset)):
            return [(_line_numbers(path, [offset])[0], REJECTED[kind])]
    return []


def _is_one_line(path: Path, offset: int) -> bool:
    with path.open("rb") as stream:
        stream.seek(offset)
        start = stream.read(MAX_LINE_BYTES).lstrip(b"\r\n")
    return b"\n" not in start and b"\r" not in start


def _line_numbers(path: Path, offsets: list[int]) -> list[int]:
    """The 1-based line at each of these ascending byte offsets, or after the empty lines there."""
    numbers = []
    with path.open("rb") as stream:
        end = b"\n" if b"\n" in stream.read(CHUNK_BYTES) else b"\r"
        stream.seek(0)
        line, position = 1, 0
        for offset in offsets:
            while position < offset:
                chunk = stream.read(min(CHUNK_BYTES, offset - position))
                position += len(chunk) or offset
                line += chunk.count(end)
            empty = stream.read(CHUNK_BYTES)
            empty = empty[: len(empty) - len(empty.lstrip(b"\r\n"))]
            stream.seek(position)
            numbers.append(line + empty.count(end))
    return numbers
