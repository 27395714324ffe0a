"""The DuckDB connection of a parsing child: bounded, locked to its working folder, without extensions."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.limits import invalid

NUM_THREADS = 2
FRUGAL_MEMORY_BYTES = 256 * 2**20


def connect(inputs: Sequence[Path], memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A connection that reads `inputs` and, below the current folder, reads and writes; locked for good.

    `memory_bytes` bounds the engine's own buffers; beyond it operators spill into ./spill.
    """
    connection = duckdb.connect(
        config={
            "threads": NUM_THREADS,
            "async_threads": 1,
            "memory_limit": f"{memory_bytes}B",
            "temp_directory": "spill",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")
    allowed = ", ".join(literal(str(path.resolve())) for path in inputs)
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET allowed_directories = ['.']")
    connection.execute("SET enable_external_access = false")
    connection.execute(
        "SET allowed_configs = ['threads', 'memory_limit', 'enable_progress_bar', 'enable_progress_bar_print']"
    )
    connection.execute("SET lock_configuration = true")
    return connection


@contextmanager
def refusing_content(failure: str) -> Iterator[None]:
    """Take what the engine cannot read for the client's fault, as `failure` says; memory and disk are told apart.

    Raises: Invalid; OSError for a full disk or too large a file; duckdb.OutOfMemoryException.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as fault:
        sys.stderr.write(f"{type(fault).__name__}: {fault}\n")
        # The engine wraps what the disk says into words.
        for number in (errno.ENOSPC, errno.EFBIG):
            if os.strerror(number) in str(fault):
                raise OSError(number, os.strerror(number)) from fault
        raise invalid(failure) from fault


def use_one_thread(connection: duckdb.DuckDBPyConnection) -> None:
    """Work in file order where the engine does not keep it by itself."""
    connection.execute("SET threads = 1")


def be_frugal(connection: duckdb.DuckDBPyConnection) -> None:
    """Trade speed for memory, for tables so wide that every thread's buffers are large."""
    use_one_thread(connection)
    connection.execute(f"SET memory_limit = '{FRUGAL_MEMORY_BYTES}B'")


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query that is known to answer few."""
    return connection.execute(query).fetchall()


def identifier(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as SQL."""
    return "'" + text.replace("'", "''") + "'"
