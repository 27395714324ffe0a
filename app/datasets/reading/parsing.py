"""Turn one uploaded file into typed Parquet and a profile: the work of a sandboxed child on hostile bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.engine import connect, literal, refusing_content
from app.datasets.formats import COMPRESSIONS, inside, sniff_format
from app.datasets.limits import IngestLimits, check_size
from app.datasets.progress import Progress
from app.datasets.reading.compressed import decompress
from app.datasets.reading.delimited import open_delimited
from app.datasets.reading.inference import write_typed
from app.datasets.reading.json_rows import open_json_array, open_json_lines
from app.datasets.reading.lost_numbers import warn_of_lost_numbers
from app.datasets.reading.numpy_file import open_npy
from app.datasets.reading.parquet_file import open_parquet
from app.datasets.reading.profile import describe
from app.datasets.reading.source import PLAIN, Column, Dialect, Source
from app.datasets.reading.typed_parquet import PARQUET, num_rows_written
from app.datasets.reading.workbook import open_xlsx
from app.errors import UnsupportedMedia

Reader = Callable[[duckdb.DuckDBPyConnection, Path, IngestLimits, Dialect], Source]
# What becomes of an opened source: `store`, or work of the same shape.
Finish = Callable[[duckdb.DuckDBPyConnection, Source, dict[str, str], IngestLimits, Progress], dict[str, Any]]

ENGINE_SHARE_OF_MEMORY = 0.6
HEAD_BYTES = 4096
SILENT = Progress()


def read(
    arguments: dict[str, Any],
    inputs: dict[str, Path],
    limits: IngestLimits,
    progress: Progress,
    finish: Finish | None = None,
) -> dict[str, Any]:
    """The operation `read`: the file `source` in a format, as the options say it is written.

    The arguments are those of ingest.reading. `finish` does what else than `store` there is to do with the source.
    """
    options = dict(arguments["options"])
    types = options.pop("types", {})
    path, file_format = inputs["source"], arguments["format"]
    details: dict[str, str] = {}
    if file_format in COMPRESSIONS:
        progress.phase("decompressing")
        path, inner = _decompressed(path, arguments, limits)
        details = {"compression": file_format, "format": inner}
        file_format = inner
    with refusing_content(f"The file cannot be read as {file_format}."):
        answer = parse(path, file_format, limits, types, progress, Dialect(**options), finish)
    answer["details"] |= details
    return answer


def parse(
    path: Path,
    file_format: str,
    limits: IngestLimits,
    types: dict[str, str],
    progress: Progress = SILENT,
    dialect: Dialect = PLAIN,
    finish: Finish | None = None,
) -> dict[str, Any]:
    """Write ./data.parquet from the file and describe it. The current folder is the working folder."""
    # A name without the characters that DuckDB would take for a pattern, whatever the folders are called.
    link = Path("source")
    link.symlink_to(path)
    connection = connect([path], int(limits.memory_bytes * ENGINE_SHARE_OF_MEMORY))
    progress.phase("reading", connection)
    source = READERS[file_format](connection, link, limits, dialect)
    source.columns = [_without(dialect.missing_values, column) for column in source.columns]
    return (finish or _store_sent)(connection, source, types, limits, progress)


def _store_sent(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    types: dict[str, str],
    limits: IngestLimits,
    progress: Progress,
) -> dict[str, Any]:
    answer = store(connection, source, types, limits, progress)
    warn_of_lost_numbers(answer["columns"], answer["profile"]["warnings"])
    return answer


def store(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    types: dict[str, str],
    limits: IngestLimits,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write a source as ./data.parquet and describe what was written."""
    check_size(limits, 1, len(source.columns))
    stored = write_typed(connection, source, types)
    num_rows = num_rows_written(connection)
    check_size(limits, num_rows, len(stored))
    progress.phase("profiling", connection)
    names = [column.name for column in source.columns]
    columns, profile = describe(connection, PARQUET, names, stored, types)
    profile["warnings"] = source.warnings + profile["warnings"]
    return {"num_rows": num_rows, "columns": columns, "profile": profile, "details": source.details}


def _decompressed(path: Path, arguments: dict[str, Any], limits: IngestLimits) -> tuple[Path, str]:
    """The file inside of a compressed one, and its format."""
    compression = arguments["format"]
    copy = decompress(path, compression, limits)
    with copy.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    told = inside(compression, arguments["content_type"], arguments["filename"], arguments["encoding"])
    file_format = sniff_format(*told, head)
    if file_format in COMPRESSIONS:
        raise UnsupportedMedia("The file is compressed more than once; compress it once.")
    return copy, file_format


def _without(missing: Sequence[str], column: Column) -> Column:
    """The column with more texts that mean missing; cells that are numbers already are compared as text, too."""
    if not missing or column.stored:
        return column
    # Such a word may well be a number, so the text as it is written tells nothing any more.
    words = ", ".join(map(literal, missing))
    cell = f"CASE WHEN {column.raw} IN ({words}) THEN NULL ELSE {column.cell} END"
    return replace(column, cell=cell, written="")


def _csv(connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect) -> Source:
    return open_delimited(connection, path, None, limits, dialect)


def _tsv(connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect) -> Source:
    return open_delimited(connection, path, "\t", limits, dialect)


READERS: dict[str, Reader] = {
    "csv": _csv,
    "tsv": _tsv,
    "ndjson": open_json_lines,
    "json": open_json_array,
    "parquet": open_parquet,
    "xlsx": open_xlsx,
    "npy": open_npy,
}
