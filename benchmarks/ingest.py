"""How long a CSV file takes to become typed, profiled Parquet, against a plain copy by DuckDB of the same file.

Run as `python -m benchmarks.ingest [--rows N] [--file PATH] [--rounds N]`. Each round runs both, one after the
other, each in a process of its own; figures are medians. The copy is DuckDB's default with two threads, timed
without its start; ours is timed as a whole: start, sandbox, encoding, types, Parquet, profile.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from app.datasets.ingest import IngestLimits, ingest

NUM_THREADS = 2
MAX_RATIO = 1.6
MAX_MEMORY_BYTES = 1.5e9
# What is measured here must not be cut short; memory stays at its default.
LIMITS = replace(IngestLimits(), wall_seconds=3600.0, cpu_seconds=7200)
COLUMNS = """
    i AS id,
    (hash(i) % 100000)::INTEGER AS customer,
    (hash(i + 1) % 1000000) / 100.0 AS price,
    CASE WHEN hash(i, 7) % 10 <> 0 THEN round(((hash(i + 2) % 2000000)::DOUBLE - 1000000) / 7919.0, 6) END AS score,
    DATE '2015-01-01' + (hash(i + 3) % 3650)::INTEGER AS day,
    TIMESTAMP '2020-01-01' + to_seconds((hash(i + 4) % 100000000)::BIGINT) AS moment,
    ['red', 'green', 'blue', 'yellow', 'black', 'white'][1 + (hash(i + 5) % 6)::INTEGER] AS colour,
    CASE WHEN hash(i, 9) % 20 <> 0 THEN 'city ' || (hash(i + 6) % 5000) END AS city,
    'user-' || substr(md5(i::VARCHAR), 1, 16) AS token,
    hash(i + 7) % 2 = 0 AS active,
    (hash(i + 8) % 100)::INTEGER AS age
"""


def main() -> None:
    """Generate the file unless one is given, compare, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", choices=("copy", "ours"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        print(json.dumps(_copy(chosen.file) if chosen.alone == "copy" else _ours(chosen.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = chosen.file or generated(Path(folder) / "rows.csv", chosen.rows)
        print(f"{file.stat().st_size / 1e9:.2f} GB of CSV, {chosen.rounds} rounds")
        _compare(file.resolve(), chosen.rounds)


def generated(path: Path, num_rows: int) -> Path:
    """A CSV file with columns of every type, the same for the same number of rows."""
    with duckdb.connect(config={"threads": NUM_THREADS}) as connection:
        connection.execute(f"COPY (SELECT {COLUMNS} FROM range({num_rows}) AS numbers(i)) TO '{path}' (FORMAT csv)")
    return path


def _compare(file: Path, num_rounds: int) -> None:
    found: dict[str, list[dict[str, Any]]] = {"copy": [], "ours": []}
    for _ in range(num_rounds):
        for name, figures in found.items():
            command = [sys.executable, "-m", "benchmarks.ingest", "--alone", name, "--file", str(file)]
            figures.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    medians = {
        name: {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        for name, figures in found.items()
    }
    for name, median in medians.items():
        print(
            f"{name:6} {median['wall_seconds']:8.2f} s  {median['cpu_seconds']:8.2f} s of CPU  "
            f"{median['peak_bytes'] / 2**20:6.0f} MiB at most  {median['stored_bytes'] / 1e6:6.0f} MB of Parquet"
        )
    for key in ("wall_seconds", "cpu_seconds"):
        ratio = medians["ours"][key] / medians["copy"][key]
        print(f"ratio of {key.replace('_', ' ')}: {ratio:.2f} (bar: {MAX_RATIO})")
    print(f"peak memory of the child: {medians['ours']['peak_bytes'] / 1e6:.0f} MB (bar: {MAX_MEMORY_BYTES / 1e6:.0f})")


def _copy(file: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "x.parquet"
        with duckdb.connect(config={"threads": NUM_THREADS}) as connection:
            before, began = os.times(), time.perf_counter()
            connection.execute(f"COPY (FROM read_csv('{file}')) TO '{target}'")
            wall_seconds, after = time.perf_counter() - began, os.times()
        return {
            "wall_seconds": wall_seconds,
            "cpu_seconds": after.user + after.system - before.user - before.system,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "stored_bytes": target.stat().st_size,
        }


def _ours(file: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        table = ingest(file, format="csv", folder=Path(folder), limits=LIMITS)
        wall_seconds = time.perf_counter() - began
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "wall_seconds": wall_seconds,
            "cpu_seconds": child.ru_utime + child.ru_stime,
            "peak_bytes": child.ru_maxrss * 1024,
            "stored_bytes": table.parquet.stat().st_size,
        }


if __name__ == "__main__":
    main()
