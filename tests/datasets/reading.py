"""Read a table in the test's own process: what the sandboxed child does, without the cost of starting it."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from app.datasets.formats import sniff_format
from app.datasets.limits import IngestLimits
from app.datasets.options import ReadOptions
from app.datasets.reading.parsing import SILENT
from app.datasets.reading.parsing import read as read_operation
from app.datasets.rows import read_rows
from app.errors import Invalid


class Table:
    """What was read: the answer of the parser, and the stored rows."""

    def __init__(
        self, answer: dict[str, Any], rows: list[dict[str, Any]], schema: pa.Schema, content: bytes = b""
    ) -> None:
        self.answer = answer
        self.content = content
        self.rows = rows
        self.schema = schema
        self.columns = {column["name"]: column for column in answer["columns"]}
        self.types = {name: column["type"] for name, column in self.columns.items()}
        self.warnings = [warning["code"] for warning in answer["profile"]["warnings"]]

    def values(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def read(
    content: bytes | str,
    file_format: str = "csv",
    types: dict[str, str] | None = None,
    limits: IngestLimits | None = None,
    *,
    filename: str | None = None,
    content_encoding: str | None = None,
    **options: Any,
) -> Table:
    """Read content in a format, or in the one that its bytes tell when that is empty."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        source = Path(folder, "sent")
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        arguments = {
            "format": file_format or sniff_format(None, filename, source.read_bytes()[:4096], content_encoding),
            "content_type": None,
            "filename": filename,
            "encoding": content_encoding,
            "options": ReadOptions(**options).model_dump() | {"types": types or {}},
        }
        answer = read_operation(arguments, {"source": source}, limits or IngestLimits(), SILENT)
        stored = Path("data.parquet")
        return stored_table(answer, stored)


def stored_table(answer: dict[str, Any], stored: Path) -> Table:
    rows = read_rows(stored, None, offset=0, limit=10**9)
    return Table(answer, rows, pyarrow.parquet.read_schema(stored), stored.read_bytes())


def refusal(
    content: bytes | str, file_format: str = "csv", types: dict[str, str] | None = None, **options: Any
) -> Invalid:
    """The refusal of a file that must not be read."""
    try:
        table = read(content, file_format, types, **options)
    except Invalid as fault:
        return fault
    raise AssertionError(f"was read as {table.rows[:3]}")


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, **options)
    return buffer.getvalue()
