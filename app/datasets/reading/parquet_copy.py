"""A table of another kind as Parquet in the working folder, a batch of rows at a time, for the engine to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

COPY = Path("copy.parquet")


def write_copy(names: Sequence[str], types: Sequence[str], batches: Iterable[Sequence[Any]]) -> None:
    """Write COPY from batches, each with one array or sequence of values for every column.

    `types` are names of Arrow types. Raises ValueError for a value that is not of its type, or no text.
    """
    # Only some formats come here, and the import takes longer than reading a small CSV file.
    import pyarrow
    import pyarrow.parquet

    # The stack of every idle thread counts as memory here.
    pyarrow.set_io_thread_count(1)
    fields = [(name, pyarrow.type_for_alias(kind)) for name, kind in zip(names, types, strict=True)]
    schema = pyarrow.schema(fields)
    with pyarrow.parquet.ParquetWriter(COPY, schema, compression="lz4", store_schema=False) as writer:
        for batch in batches:
            arrays = [pyarrow.array(column, kind) for column, (_, kind) in zip(batch, fields, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
