"""The sandboxed child that turns one uploaded file into typed Parquet and a profile.

Started by `ingest` as a program of its own: one JSON request on standard input, one JSON line as the answer.
Only expected refusals are answers; any other end is for the parent to explain.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import duckdb

from app import sandbox
from app.datasets.delimited import open_delimited
from app.datasets.engine import connect
from app.datasets.inference import write_typed
from app.datasets.json_rows import open_json
from app.datasets.limits import IngestLimits, check_size, invalid
from app.datasets.parquet_file import open_parquet
from app.datasets.profile import describe
from app.datasets.source import Source
from app.datasets.typed_parquet import PARQUET
from app.errors import Invalid, TooLarge

ENGINE_SHARE_OF_MEMORY = 0.6


def main() -> None:
    """Read the request, give up all rights but those it needs, and answer."""
    request = json.load(sys.stdin)
    sandbox.die_with_parent(request["parent_pid"])
    os.chdir(request["folder"])
    limits = IngestLimits(**request["limits"])
    try:
        layers = sandbox.confine(
            read=[Path(request["source"])],
            write=[Path(request["folder"])],
            memory_bytes=limits.memory_bytes,
            file_size_bytes=limits.decoded_bytes,
            cpu_seconds=limits.cpu_seconds,
            mode=request["sandbox"],
        )
        answer = parse(Path(request["source"]), request["format"], limits, request["types"])
        answer["sandbox"] = layers
    except sandbox.SandboxUnavailable as fault:
        answer = {"error": "sandbox", "detail": str(fault)}
    except TooLarge as fault:
        answer = {"error": "too-large", "detail": fault.detail}
    except Invalid as fault:
        answer = {"error": "invalid", "detail": fault.detail, "errors": fault.errors}
    except (MemoryError, duckdb.OutOfMemoryException):
        answer = {"error": "memory", "detail": ""}
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            answer = {"error": "disk", "detail": ""}
        elif fault.errno == errno.EFBIG:
            answer = {"error": "too-large", "detail": f"The table is over {limits.decoded_bytes:,} bytes."}
        else:
            raise
    json.dump(answer, sys.stdout, allow_nan=False)
    sys.stdout.write("\n")


def parse(path: Path, file_format: str, limits: IngestLimits, types: dict[str, str]) -> dict[str, Any]:
    """Write ./data.parquet from the file and describe it. The current folder is the working folder."""
    # A name without the characters that DuckDB would take for a pattern, whatever the folders are called.
    link = Path("source")
    link.symlink_to(path)
    connection = connect(path, int(limits.memory_bytes * ENGINE_SHARE_OF_MEMORY))
    try:
        source = _open(connection, link, file_format, limits)
        check_size(limits, 1, len(source.columns))
        stored = write_typed(connection, source, types)
        num_rows = connection.execute(f"SELECT count(*) FROM read_parquet('{PARQUET}')").fetchall()[0][0]
        check_size(limits, num_rows, len(stored))
        names = [column.name for column in source.columns]
        columns, profile = describe(connection, PARQUET, names, stored, types)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as fault:
        sys.stderr.write(f"{type(fault).__name__}: {fault}\n")
        for number in (errno.ENOSPC, errno.EFBIG):
            if os.strerror(number) in str(fault):
                raise OSError(number, os.strerror(number)) from fault
        raise invalid(f"The file cannot be read as {file_format}.") from fault
    profile["warnings"] = source.warnings + profile["warnings"]
    return {"num_rows": num_rows, "columns": columns, "profile": profile, "details": source.details}


def _open(connection: duckdb.DuckDBPyConnection, path: Path, file_format: str, limits: IngestLimits) -> Source:
    if file_format == "parquet":
        return open_parquet(connection, str(path), limits)
    if file_format == "ndjson":
        return open_json(connection, path, "newline_delimited", limits)
    if file_format == "json":
        return open_json(connection, path, "array", limits)
    return open_delimited(connection, path, "\t" if file_format == "tsv" else None, limits)


if __name__ == "__main__":
    main()
