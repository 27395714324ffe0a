"""Batch predictions against the model in this process: `python -m benchmarks.batch [--rows 2000000]`.

Both answer the same rows of numbers with the same network of 30-128-128-2, in one run: `answer_table` on one thread
here, and a job on a server of its own. The bar is 0.7 of the rate of `answer_table`.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from app.learning.data import Table, read_parquet
from app.learning.runtime import Predictor
from app.storage import Storage
from tests.processes import Server

NUM_COLUMNS, NUM_ROUNDS, BAR = 30, 3, 0.7
NUM_TRAINING_ROWS = 2_000


def main() -> None:
    """Print rates of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    num_rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", {}).start()
        try:
            _measure(server, num_rows)
        finally:
            server.end()


def _measure(server: Server, num_rows: int) -> None:
    small, large = (_upload(server, _numbers(count)) for count in (NUM_TRAINING_ROWS, num_rows))
    body = {"dataset": small["id"], "target": "y", "model": "batch", "spec": "dense", "task": "binary"}
    body["params"] = {"hidden": [128, 128], "epochs": 3}
    _wait(server, server.http.post("/v1/jobs", json=body).json()["id"])
    predictor, table = _here(server, large, _answered(server, large)["digests"]["table"])
    rates: dict[str, list[float]] = {"in process": [], "job": [], "job, while it answers": []}
    for _ in range(NUM_ROUNDS):
        started = time.perf_counter()
        predictor.answer_table(table)
        rates["in process"].append(num_rows / (time.perf_counter() - started))
        started = time.perf_counter()
        job = _answered(server, large)
        rates["job"].append(num_rows / (time.perf_counter() - started))
        rates["job, while it answers"].append(job["progress"]["rows_per_second"])
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{num_rows:,} rows of {NUM_COLUMNS} numbers, network {NUM_COLUMNS}-128-128-2, median of {NUM_ROUNDS} rounds")
    for name, rate in medians.items():
        ratio = rate / medians["in process"]
        print(f"{name:24} {rate:12,.0f} rows/s   {ratio:5.2f} of in process (bar {BAR})")


def _numbers(num_rows: int) -> bytes:
    rng = np.random.default_rng(num_rows)
    x_BF = rng.normal(size=(num_rows, NUM_COLUMNS))
    columns: dict[str, Any] = {f"x{place}": x_BF[:, place] for place in range(NUM_COLUMNS)}
    columns["y"] = np.where(x_BF[:, 0] > x_BF[:, 1], "yes", "no")
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def _upload(server: Server, content: bytes) -> dict[str, Any]:
    headers = {"content-type": "application/vnd.apache.parquet"}
    sent = server.http.post("/v1/datasets?name=batch", content=content, headers=headers, timeout=600).json()
    while sent["status"] == "processing":
        sent = server.http.get(f"/v1/datasets/{sent['id']}", headers={"prefer": "wait=60"}).json()
    if sent["status"] != "ready":
        raise SystemExit(f"the data set is {sent['status']}: {sent['error']}")
    return dict(sent)


def _wait(server: Server, job_id: str) -> dict[str, Any]:
    while (job := server.job(job_id))["status"] not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.02)
    if job["status"] != "succeeded":
        raise SystemExit(server.story(job_id))
    return job


def _answered(server: Server, dataset: dict[str, Any]) -> dict[str, Any]:
    answer = server.http.post("/v1/predictions", json={"dataset": dataset["id"], "model": "batch"})
    return _wait(server, answer.json()["id"])


def _here(server: Server, dataset: dict[str, Any], sha256: str) -> tuple[Predictor, Table]:
    """The same model and the same rows in this process."""
    storage = Storage(server.folder)
    version = server.http.get("/v1/models/batch/versions/1").json()
    predictor = Predictor.load(version["manifest"], storage.read(version["digests"]["graph"]))
    columns = [column for column in dataset["columns"] if column["name"] != "y"]
    return predictor, read_parquet(storage.path(sha256), columns)


if __name__ == "__main__":
    main()
