"""The rows of a Parquet file or an Arrow stream as JSON values, for predictions: few rows of any plain types."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.datasets.limits import IngestLimits, check_size, invalid, pointer, shown
from app.datasets.progress import Progress
from app.datasets.rows import rfc3339

ROWS_PER_BATCH = 1024


def decode(
    arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `decode`: names of the columns and the values of each row; NaN is missing, moments are RFC 3339.

    Raises Invalid for what is no such file, nested columns and infinite numbers; TooLarge over a limit.
    """
    import pyarrow

    progress.phase("reading")
    columns: list[str] = []
    data: list[list[Any]] = []
    try:
        for batch in _batches(inputs["source"], arguments["format"]):
            columns = batch.schema.names
            _refuse_types(batch.schema)
            check_size(limits, len(data) + max(batch.num_rows, 1), len(columns))
            cells = [_plain(column.to_pylist(), place, len(data)) for place, column in enumerate(batch.columns)]
            data.extend(map(list, zip(*cells, strict=True)))
    except pyarrow.ArrowException:
        raise invalid(f"The body cannot be read as {arguments['format']}.") from None
    return {"columns": columns, "data": data}


def _batches(path: Path, format: str) -> Iterator[Any]:
    import pyarrow.ipc
    import pyarrow.parquet

    if format == "parquet":
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(ROWS_PER_BATCH, use_threads=False)
    else:
        options = pyarrow.ipc.IpcReadOptions(use_threads=False)
        with path.open("rb") as source, pyarrow.ipc.open_stream(source, options=options) as stream:
            yield from stream


def _refuse_types(schema: Any) -> None:
    import pyarrow.types as kinds

    plain = (
        *(kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_null, kinds.is_decimal),
        *(kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_date, kinds.is_timestamp),
    )
    for place, field in enumerate(schema):
        kind = field.type.value_type if kinds.is_dictionary(field.type) else field.type
        if not any(is_kind(kind) for is_kind in plain):
            fault = f"column {shown(field.name)} has the type {shown(field.type)}, which is not a plain value"
            raise invalid(f"/columns/{place}: {fault}", [(pointer("columns", place), fault)])


def _plain(values: list[Any], place: int, first: int) -> list[Any]:
    for row, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            if math.isinf(value):
                where = pointer("data", first + row, place)
                raise invalid(f"{where}: expected a finite number", [(where, "expected a finite number")])
            values[row] = None
        elif isinstance(value, datetime):
            values[row] = rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        elif isinstance(value, date):
            values[row] = value.isoformat()
        elif isinstance(value, Decimal):
            values[row] = float(value)
    return values
