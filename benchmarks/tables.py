"""How fast a large table can be looked into: pages of rows, its profile, filters, on a real server.

Run as `python -m benchmarks.tables [--rows N] [--file PATH]`. The file is uploaded as clients do it and read by a job;
then every request is timed from outside, the first one after a restart apart from the later ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ingest import generated
from tests.processes import Server

ROUNDS = 15
MAX_PAGE_MS = 100
MAX_PROFILE_MS = 20


def main() -> None:
    """Upload, wait, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--file", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = chosen.file or generated(Path(folder) / "rows.csv", chosen.rows)
        server = Server(Path(folder) / "data", {}).start()
        try:
            _measure(server, file)
        finally:
            server.end()


def _measure(server: Server, file: Path) -> None:
    dataset = _uploaded(server, file)
    print(f"{dataset['num_rows']:,} rows, {len(dataset['columns'])} columns, {file.stat().st_size / 1e9:.2f} GB of CSV")
    server.end()
    server.start()
    path = f"/v1/datasets/{dataset['id']}"
    end = f"{path}/rows?offset={dataset['num_rows'] - 20}"
    questions = {
        "first page of rows": (f"{path}/rows", MAX_PAGE_MS),
        "last page of rows": (end, MAX_PAGE_MS),
        "profile": (f"{path}/profile", MAX_PROFILE_MS),
        "filtered and sorted page": (f"{path}/rows?filter=age>=99&sort=-price", None),
    }
    for name, (url, bar_ms) in questions.items():
        first, *later = (_milliseconds(server, url) for _ in range(ROUNDS if bar_ms else 3))
        bar = f"; bar {bar_ms} ms" if bar_ms else ""
        print(f"{name}: first {first:.1f} ms, then median {statistics.median(later):.1f} ms{bar}")
    print(f"memory of the API process: {psutil.Process(server.process.pid).memory_info().rss / 1e6:.0f} MB")


def _uploaded(server: Server, file: Path) -> dict[str, Any]:
    began = time.perf_counter()
    with file.open("rb") as stream:
        headers = {"content-type": "text/csv"}
        answer = server.http.post("/v1/datasets?name=rows", content=stream, headers=headers, timeout=600)
    answer.raise_for_status()
    dataset: dict[str, Any] = answer.json()
    print(f"received after {time.perf_counter() - began:.1f} s: {dataset['status']}")
    while dataset["status"] == "processing":
        dataset = server.http.get(f"/v1/datasets/{dataset['id']}", headers={"prefer": "wait=60"}).json()
    if dataset["status"] != "ready":
        raise SystemExit(str(dataset["error"]))
    print(f"ready after {time.perf_counter() - began:.1f} s")
    return dataset


def _milliseconds(server: Server, url: str) -> float:
    began = time.perf_counter()
    answer = server.http.get(url)
    answer.raise_for_status()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
