"""How fast a training learns, against loops written by hand for nothing else: 1,000,000 x 30 float32, 30-128-128-2.

Run as `python -m benchmarks.training [--rows N] [--epochs N] [--rounds N] [--fast] [--streamed]`. Ours is the whole way
of a job's child, `train.run`, from the first step to the last, with progress, metrics and checkpoints on; the time to
choose threads counts. The best loop by hand reads contiguous slices of rows that were shuffled before the clock
started, with a fused Adam, and the better of one and two threads, found in its first steps. Rounds are interleaved;
ratios are medians over rounds. A second loop by hand also takes numbers below 1e-38 for 0, as ours does. `--fast` adds
bf16 with compilation; `--streamed` trains from a file on the disk, beside the same in memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from app.learning import train

NUM_INPUTS, NUM_CLASSES, BATCH = 30, 2, 1024
TRIED_STEPS = 10
PARAMS = {
    "hidden": [128, 128], "activation": "relu", "dropout": 0.0, "optimizer": "adam", "batch_size": BATCH,
    "schedule": "constant", "warmup_epochs": 0.0, "early_stopping": None,
}  # fmt: skip
ROWS_AT_ONCE = 1 << 20

Loop = Callable[[Tensor, Tensor, int], float]


def main() -> None:
    """Measure and print rates and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--streamed", action="store_true")
    chosen = parser.parse_args()
    # Before a fork no second thread may have been started, and no gradient computed.
    torch.set_num_threads(1)
    train.preload()
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder) / "rows.parquet", chosen.rows)
        loops = dict(_loops(dataset, Path(folder), chosen))
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(chosen.rounds):
            for name, measure in loops.items():
                rates[name].append(_apart(measure))
                print(f"  {name}: {rates[name][-1]:,.0f} rows/s", flush=True)
        reference = "maas" if chosen.streamed else "by hand"
        for name, measured in rates.items():
            ratio = statistics.median(a / b for a, b in zip(measured, rates[reference], strict=True))
            print(f"{name}: median {statistics.median(measured):,.0f} rows/s, {ratio:.2f} of {reference}")
        peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory of the largest: {peak_mib:,.0f} MiB")


def _apart(measure: Callable[[], float]) -> float:
    """Measure in a fork, as jobs run: threads that another loop has started would not be as fresh ones are."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, repr(measure()).encode())
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        return float(told.read())


def _loops(
    dataset: dict[str, Any], folder: Path, chosen: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], float]]]:
    epochs = chosen.epochs
    yield "maas", lambda: ours(dataset, folder, epochs)
    if chosen.fast:
        yield "maas, bf16 and compiled", lambda: ours(dataset, folder, epochs, precision="bf16", compile=True)
    if chosen.streamed:
        yield "maas, streamed", lambda: ours(dataset, folder, epochs, memory_bytes=1)
        return
    generator = torch.Generator().manual_seed(0)
    x_BF = torch.randn(chosen.rows, NUM_INPUTS, generator=generator)
    y_B = (x_BF[:, 0] > 0).long()
    yield "by hand", lambda: by_hand(x_BF, y_B, epochs)
    yield "by hand, no subnormals", lambda: by_hand(x_BF, y_B, epochs, flush=True)
    yield "DataLoader", lambda: with_data_loader(x_BF, y_B, 1)


def write_dataset(path: Path, num_rows: int) -> dict[str, Any]:
    """Write random numbers and a class that follows from them; returns the `dataset` member of a request."""
    generator = np.random.default_rng(0)
    names = [f"x{index}" for index in range(NUM_INPUTS)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("y", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, num_rows, ROWS_AT_ONCE):
            x_BF = generator.standard_normal((min(ROWS_AT_ONCE, num_rows - start), NUM_INPUTS), np.float32)
            arrays = [pa.array(x_BF[:, index].astype(float)) for index in range(NUM_INPUTS)]
            labels = pa.array(np.where(x_BF[:, 0] > 0, "high", "low"))
            writer.write_table(pa.table([*arrays, labels], schema=schema))
    columns = [{"name": name, "type": "real", "num_missing": 0, "num_distinct": num_rows} for name in names]
    columns.append({"name": "y", "type": "category", "num_missing": 0, "num_distinct": NUM_CLASSES})
    with path.open("rb") as file:
        digest = sha256(file.read()).hexdigest()
    return {"path": str(path), "sha256": digest, "num_rows": num_rows, "columns": columns}


def ours(dataset: dict[str, Any], folder: Path, epochs: int, **request: Any) -> float:
    """Train as a job's child does; returns rows a second from the first step to the last."""
    times: dict[str, float] = {}
    messages: list[dict[str, Any]] = []

    def emit(message: dict[str, Any]) -> None:
        if message["type"] == "phase":
            times[message["phase"]] = time.perf_counter()
        messages.append(message)

    params = (
        PARAMS | {"epochs": epochs} | {name: request.pop(name) for name in ("precision", "compile") if name in request}
    )
    body = {"dataset": dataset, "target": "y", "task": "multiclass", "params": params, **request}
    body["split"] = {"validation": 0, "test": 0.001}
    train.run(body, folder=folder, emit=emit, control=lambda: None)
    if messages[-1]["type"] != "result":
        raise SystemExit(str(messages[-1]))
    for told in messages:
        if told["type"] == "event" and told["level"] == "warning":
            print("  " + told["message"])
    history = messages[-1]["manifest"]
    print(f"  threads {history['threads']}, accuracy {messages[-1]['metrics']['test']['accuracy']:.3f}")
    num_rows = history["split"]["num_rows"]["train"]
    return num_rows * epochs / (times["evaluating"] - times["training"])


def network() -> nn.Module:
    """Return 30-128-128-2 with rectifiers."""
    torch.manual_seed(0)
    layers = (nn.Linear(NUM_INPUTS, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, NUM_CLASSES))
    return nn.Sequential(*layers)


def by_hand(x_BF: Tensor, y_B: Tensor, epochs: int, *, flush: bool = False) -> float:
    """Return rows a second of contiguous slices, with the better number of threads."""
    torch.set_flush_denormal(flush)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def steps(num_steps: int) -> None:
        for index in range(num_steps):
            part = slice(index * BATCH, (index + 1) * BATCH)
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(model(x_BF[part]), y_B[part]).backward()
            optimizer.step()

    num_steps = len(y_B) // BATCH
    began = time.perf_counter()
    torch.set_num_threads(min((1, 2), key=lambda count: _tried(count, steps)))
    for _ in range(epochs):
        steps(num_steps)
    return epochs * num_steps * BATCH / (time.perf_counter() - began)


def _tried(num_threads: int, steps: Callable[[int], None]) -> float:
    torch.set_num_threads(num_threads)
    steps(2)
    began = time.perf_counter()
    steps(TRIED_STEPS)
    return time.perf_counter() - began


def with_data_loader(x_BF: Tensor, y_B: Tensor, epochs: int) -> float:
    """Return rows a second of the loop that tutorials show."""
    torch.set_num_threads(1)
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    loader = DataLoader(TensorDataset(x_BF, y_B), batch_size=BATCH, shuffle=True)
    began = time.perf_counter()
    for _ in range(epochs):
        for part_BF, part_B in loader:
            optimizer.zero_grad()
            loss = cross_entropy(model(part_BF), part_B)
            loss.backward()
            optimizer.step()
    return epochs * len(y_B) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
