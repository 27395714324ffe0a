"""Lines of tens of megabytes, which DuckDB's reader of CSV loses without a word: looked for before it reads."""

from __future__ import annotations

from pathlib import Path

from app.datasets.limits import MAX_LINE_BYTES, invalid, pointer

# The reader tells of lines of up to 16 times its limit; a longer one has a mark at least this far from its end.
STEP_BYTES = 4 * MAX_LINE_BYTES
PIECE_BYTES = 2**16


def refuse_giant_lines(path: Path) -> None:
    """Raise Invalid for a line of over five times MAX_LINE_BYTES, looking only at a few places of the file."""
    size_bytes = path.stat().st_size
    with path.open("rb", buffering=0) as stream:
        for mark in range(0, size_bytes - MAX_LINE_BYTES, STEP_BYTES):
            stream.seek(mark)
            num_seen = 0
            while num_seen <= MAX_LINE_BYTES and (piece := stream.read(PIECE_BYTES)):
                if b"\n" in piece or b"\r" in piece:
                    break
                num_seen += len(piece)
            if num_seen > MAX_LINE_BYTES:
                number = _line_at(path, mark)
                fault = f"is longer than {MAX_LINE_BYTES:,} bytes"
                raise invalid(f"Line {number} {fault}.", [(pointer("lines", number), fault)])


def _line_at(path: Path, position: int) -> int:
    """The 1-based line that holds the byte at this position."""
    number = 1
    with path.open("rb") as stream:
        while position > 0 and (piece := stream.read(min(PIECE_BYTES, position))):
            position -= len(piece)
            number += piece.count(b"\n")
    return number
