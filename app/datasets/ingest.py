"""Make a version of a data set: from bytes that were sent, or from versions that exist, in a sandboxed child.

An order is plain JSON, so that a request can carry it out at once and a job later, alike:

    {"operation": "read", "format": "csv", "options": {}, …}      a file becomes a table; see `reading`
    {"operation": "append", "columns": […], "format": "csv", …}   a version with the rows of a file after its own
    {"operation": "transform", "columns": […], "steps": […]}      a version after steps
    {"operation": "erase", "columns": […], "column": "…", "values": […]}    a version without somebody's rows
    {"operation": "gather", "columns": […]}       the rows of all inputs, one block after another

Versions are the input `parent`, sent files `source`; `columns` are those of the parent as its record lists them. A
`secret` for pseudonyms and the values to erase are handed to the child alone: they must not be recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.datasets.formats import FORMATS, sniff_format
from app.datasets.limits import IngestLimits, invalid
from app.datasets.process import Watch, Work, run
from app.sandbox import Mode

__all__ = ["IngestLimits", "Ingested", "carry_out", "ingest", "reading", "sniff_format"]

PARQUET = "data.parquet"
# What an answer has, and what each part must be.
ANSWER = {"num_rows": int, "columns": list, "profile": dict, "details": dict, "sandbox": list}


@dataclass(frozen=True)
class Ingested:
    """A table as it was understood: where it lies, how large it is, and what is in each column."""

    parquet: Path
    num_rows: int
    columns: list[dict[str, Any]]
    profile: dict[str, Any]
    details: dict[str, Any]
    sandbox: list[str]


def reading(
    content_type: str | None,
    filename: str | None,
    head: bytes,
    *,
    encoding: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The order to read an upload, from what was told of it and its first bytes.

    `encoding` is the Content-Encoding, `options` what options.ReadOptions holds. Raises as `sniff_format`.
    """
    return {
        "operation": "read",
        "format": sniff_format(content_type, filename, head, encoding),
        "content_type": content_type,
        "filename": filename,
        "encoding": encoding,
        "options": dict(options or {}),
    }


def ingest(
    source: Path,
    *,
    format: str,
    folder: Path,
    limits: IngestLimits,
    sandbox: Mode = "best-effort",
    types: Mapping[str, str] | None = None,
    watch: Watch | None = None,
) -> Ingested:
    """Read `source` and leave `data.parquet` in `folder`; blocks until the child has ended.

    `types` fixes the types of some columns by name. Raises as `process.run`.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, not {format!r}")
    order = reading(None, None, b"", options={"types": dict(types or {})}) | {"format": format}
    return carry_out(order, {"source": source}, folder=folder, limits=limits, sandbox=sandbox, watch=watch)


def carry_out(
    order: Mapping[str, Any],
    inputs: Mapping[str, Path],
    *,
    folder: Path,
    limits: IngestLimits,
    sandbox: Mode = "best-effort",
    watch: Watch | None = None,
) -> Ingested:
    """Make the table of an order from its input files; blocks. Raises as `process.run`."""
    arguments = {name: value for name, value in order.items() if name != "operation"}
    failure = f"The file cannot be read as {order['format']}." if "format" in order else "The table cannot be read."
    work = Work(order["operation"], arguments, inputs, (PARQUET,), failure)
    answer = run(work, folder=folder, limits=limits, sandbox=sandbox, watch=watch)
    try:
        parts = {name: kind_of(answer[name]) for name, kind_of in ANSWER.items()}
    except (LookupError, TypeError, ValueError):
        raise invalid(failure) from None
    return Ingested(parquet=folder / PARQUET, **parts)
