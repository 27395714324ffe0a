"""How many rows DuckDB's reader of CSV hands on at a time; row groups of that size are written without a copy."""

from __future__ import annotations

from pathlib import Path

from app.datasets.limits import MAX_LINE_BYTES

# The reader takes buffers of 16 times its longest line, and hands on a quarter of one at a time.
UNIT_BYTES = 4 * MAX_LINE_BYTES
NUM_PIECES = 16
PIECE_BYTES = 2**16


def num_rows_per_unit(path: Path) -> int | None:
    """A good guess, from lines all over the file; None for files of one unit and for lines too long to be counted."""
    size_bytes = path.stat().st_size
    if size_bytes <= UNIT_BYTES:
        return None
    with path.open("rb", buffering=0) as stream:
        num_lines = 0
        for number in range(NUM_PIECES):
            stream.seek(number * (size_bytes - PIECE_BYTES) // (NUM_PIECES - 1))
            num_lines += stream.read(PIECE_BYTES).count(b"\n")
    return num_lines * UNIT_BYTES // (NUM_PIECES * PIECE_BYTES) or None
