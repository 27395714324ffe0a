"""Ask a stored table in the test's own process: what the sandboxed child does, without the cost of starting it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from app.datasets.child import OPERATIONS
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress

ARROW = {
    "integer": pa.int64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


def table(types: dict[str, str], rows: list[tuple[Any, ...]]) -> pa.Table:
    """A table as it is stored."""
    schema = pa.schema([(name, ARROW.get(kind, pa.string())) for name, kind in types.items()])
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return pa.Table.from_arrays(
        [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def entries(types: dict[str, str]) -> list[dict[str, str]]:
    """Its columns as a request to the child names them."""
    return [{"name": name, "type": kind} for name, kind in types.items()]


def ask(operation: str, arguments: dict[str, Any], output: str | None = None, **tables: pa.Table) -> Any:
    """The answer of an operation, or the bytes of the file it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = {}
        for name, each in tables.items():
            inputs[name] = Path(folder, f"{name} [x]*.bytes")
            pyarrow.parquet.write_table(each, inputs[name], row_group_size=1_000)
        working = Path(folder, "working")
        working.mkdir()
        with contextlib.chdir(working):
            answer = OPERATIONS[operation](arguments, inputs, IngestLimits(), Progress())
            return Path(output).read_bytes() if output else answer
