"""Write a source as Parquet in the types decided for it: one pass, cells that do not fit stop it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from app.datasets.engine import identifier, literal, rows
from app.datasets.reading.casts import accepts, cast, settling, value
from app.datasets.reading.source import Column, Source

PARQUET = "data.parquet"
WRONG_CELL = "a cell is not of the type of its column"
ROW_GROUP_ROWS = 131_072
MIN_ROW_GROUP_ROWS = 2_048
ROW_GROUP_BYTES = 64 * 2**20
# Scanning and writing hold buffers for every column; for more columns than this they take gigabytes.
MAX_COLUMNS_AT_ONCE = 500
# Row groups may follow the units of the engine's reader, unless these are so small that files would grow.
MIN_UNIT_ROWS = 32_768
# The newer encodings (deltas, split floats) make numbers and keys a third smaller and are no slower; beyond its
# first level zstd takes longer than it saves. A dictionary is tried for every column; giving up early on those of
# many values saves a fiftieth of the time, for which columns of 8,000 to 26,000 values in a row group take half as much
# space again. Nothing here asks bloom filters.
OPTIONS = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, DICTIONARY_SIZE_LIMIT 8192, "
    "WRITE_BLOOM_FILTER false"
)


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    requested: Mapping[str, str],
    types: Sequence[str],
    row_bytes: int,
) -> None:
    """Write ./data.parquet; raises duckdb.Error saying WRONG_CELL when a cell does not have its type.

    `requested` names the columns whose types come from the caller and are read leniently; `row_bytes` is the
    mean size of a row, from which the size of row groups follows.
    """
    wanted = min(ROW_GROUP_ROWS, max(1, ROW_GROUP_BYTES // row_bytes))
    if source.num_rows_per_unit and MIN_UNIT_ROWS <= source.num_rows_per_unit <= wanted:
        # The engine writes what it read at a time as it is, where that is one row group give or take 2,048 rows;
        # else it copies all cells once more to cut row groups from them, which takes a fiftieth of the time.
        wanted = source.num_rows_per_unit
    row_group = max(MIN_ROW_GROUP_ROWS, wanted)
    columns = list(enumerate(zip(source.columns, types, strict=True)))
    slices = [columns[i : i + MAX_COLUMNS_AT_ONCE] for i in range(0, len(columns), MAX_COLUMNS_AT_ONCE)]
    parts = [f"part-{i}.parquet" for i in range(len(slices))] if len(slices) > 1 else [PARQUET]
    for part, selected in zip(parts, slices, strict=True):
        casts = ", ".join(f"{cast(column, kind)} AS v{i}" for i, (column, kind) in selected)
        cells = ", ".join(_cell(column, kind, f"v{i}", column.name in requested) for i, (column, kind) in selected)
        # The casts are a table of their own, so that each is computed once and then tested and used.
        connection.execute(
            f"COPY (SELECT {cells} FROM (SELECT *, {casts} FROM {source.relation})) TO {literal(part)} "
            f"({OPTIONS}, ROW_GROUP_SIZE {row_group})"
        )
    if len(parts) > 1:
        _join(parts, wanted)


def num_rows_written(connection: duckdb.DuckDBPyConnection) -> int:
    """How many rows ./data.parquet has, by its footer."""
    return int(rows(connection, f"SELECT num_rows FROM parquet_file_metadata({literal(PARQUET)})")[0][0])


def _cell(column: Column, kind: str, found: str, lenient: bool) -> str:
    return f"{_typed(column, kind, found, lenient)} AS {identifier(column.name)}"


def _typed(column: Column, kind: str, found: str, lenient: bool) -> str:
    converted = value(column, kind, lenient=lenient)
    test = accepts(column, kind, lenient=lenient)
    if test == "true":
        return converted
    wrong = f"WHEN {test} THEN {converted} ELSE error({literal(WRONG_CELL)}) END"
    if kind == column.stored and not lenient:
        return f"CASE {wrong}"
    return f"CASE {settling(column, kind, found)} WHEN {column.cell} IS NULL THEN NULL {wrong}"


def _join(parts: Sequence[str], row_group: int) -> None:
    """Put files with the same rows and different columns side by side, a row group at a time."""
    # Only very wide tables come here, and the import takes longer than reading a small file.
    import pyarrow
    import pyarrow.parquet

    # The stack of every idle thread counts as memory here.
    pyarrow.set_io_thread_count(1)
    files = [pyarrow.parquet.ParquetFile(part) for part in parts]
    schema = pyarrow.schema([field for file in files for field in file.schema_arrow])
    with pyarrow.parquet.ParquetWriter(PARQUET, schema, compression="zstd") as writer:
        pieces = (file.iter_batches(row_group, use_threads=False) for file in files)
        for batches in zip(*pieces, strict=True):
            arrays = [array for batch in batches for array in batch.columns]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
    for part in parts:
        Path(part).unlink()
