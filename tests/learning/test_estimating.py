"""Estimates: what is said beforehand holds for the training itself; nothing large is allocated to say it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.learning.estimating import estimate
from app.learning.estimating.fitting import Room, RowsMemory, largest, narrowed
from app.learning.estimating.footprint import Footprint
from app.learning.estimating.forecast import Interval, Measured, epochs_of
from app.learning.estimating.sample import take_sample
from app.learning.estimating.stand_in import stand_in
from app.learning.layout import Block, Layout
from app.learning.plan import Plan, resolve
from app.learning.spec import as_network
from tests.learning.datasets import REPOSITORY, write_dataset

MIB = 1 << 20
# Each runs in a fork of a process that has imported everything, as an estimate and a training do.
BOTH = """
import json, os, pathlib, sys, time
from app.learning import train
from app.learning.estimating import estimate
from app.learning.memory import Meter
train.preload()
request, folder = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
for work in (estimate.run, train.run):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        meter, started, said = Meter(), time.monotonic(), []
        work(request, folder=folder, emit=said.append, control=lambda: None)
        took = {"seconds": time.monotonic() - started, "peak": meter.peak_bytes()}
        told = {name: said[-1].get(name) for name in ("type", "timing", "reason", "problems", "message")}
        print(json.dumps(told | took))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


def regression(path: Path, num_rows: int, num_columns: int = 8) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    x_BN = generator.normal(size=(num_rows, num_columns))
    columns = {f"x{n}": x_BN[:, n].tolist() for n in range(num_columns)}
    columns["y"] = (x_BN.sum(axis=1) + generator.normal(size=num_rows)).tolist()
    return write_dataset(path, dict.fromkeys(columns, "real"), columns)


def both(dataset: dict[str, Any], folder: Path, **request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was estimated, and what the training took."""
    limits = {"wall_seconds": 1e5, "memory_bytes": 4 << 30}
    body = json.dumps({"dataset": dataset, "target": "y", **limits, **request})
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", BOTH, body, str(folder)],
        check=True, env=environment, cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    estimated, trained = map(json.loads, done.stdout.splitlines())
    return estimated, trained


@pytest.mark.parametrize(
    ("num_rows", "params"),
    [(1500, {"epochs": 40}), (40_000, {"epochs": 4}), (1500, {"epochs": 5, "hidden": [1024, 1024]})],
)
def test_a_training_takes_what_was_estimated(num_rows: int, params: dict[str, Any], tmp_path: Path) -> None:
    dataset = regression(tmp_path / "d.parquet", num_rows)
    estimated, trained = both(dataset, tmp_path, spec="dense", params=params | {"early_stopping": None})
    assert trained["type"] == "result", trained
    timing = estimated["timing"]
    # One fork alone: without the second that starting and storing may take. Others use this machine, too.
    assert timing["seconds"]["low"] / 1.5 <= trained["seconds"] <= timing["seconds"]["high"] * 1.5
    assert timing["memory_bytes"]["low"] / 1.3 <= trained["peak"] <= timing["memory_bytes"]["high"] * 1.3
    assert timing["memory_bytes"]["high"] < 4 * timing["memory_bytes"]["low"]
    assert estimated["seconds"] < 10
    assert timing["num_rows"]["train"] == pytest.approx(0.7 * num_rows, rel=0.02)


def test_an_ensemble_takes_what_was_estimated_of_its_members(tmp_path: Path) -> None:
    dataset = regression(tmp_path / "d.parquet", 300, 3)
    estimated, trained = both(dataset, tmp_path, spec="ensemble", params={"members": ["linear", "realmlp"], "folds": 2})
    assert trained["type"] == "result", trained
    timing = estimated["timing"]
    assert timing["seconds"]["low"] / 1.5 <= trained["seconds"] <= timing["seconds"]["high"] * 1.5
    assert timing["epochs"]["high"] == 8


def plan(num_rows: int = 20_000, **request: Any) -> Plan:
    columns = [
        {"name": name, "type": "real", "num_missing": 0, "num_distinct": 1000, "min": -3.0, "max": 3.0}
        for name in ("a", "b", "c", "y")
    ]
    return resolve(columns, "y", num_rows=num_rows, **{"spec": "dense", **request})


def footprint(batch_size: int, **params: Any) -> int:
    made = plan(params=params, max_parameters=10**12)
    return Footprint(made, as_network(made.spec, made.params)[1], made.layout).peak_bytes(batch_size, 1000)


def test_the_largest_network_is_counted_without_allocating_it() -> None:
    # In a process of its own, whose peak nobody else has set, and after all has been imported.
    count = "from app.learning.memory import Meter; from tests.learning.test_estimating import footprint; "
    count += "footprint(64, hidden=[8]); meter = Meter(); "
    count += "print(footprint(64, hidden=[60_000, 60_000]), meter.peak_bytes())"
    told = subprocess.run([sys.executable, "-c", count], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    counted, allocated = map(int, told.stdout.split())
    assert counted > 8 * 4 * 60_000**2
    assert allocated < 64 * MIB


def test_memory_grows_with_the_batch_the_layers_and_the_state_of_the_optimizer() -> None:
    small = footprint(64, hidden=[512, 512])
    assert footprint(4096, hidden=[512, 512]) > small + 4096 * 1024 * 4
    assert footprint(64, hidden=[1024, 1024]) > 2 * small
    assert footprint(64, hidden=[512, 512], optimizer="sgd", momentum=0.0) < small


@pytest.mark.parametrize("most", [0, 1, 7, 1000])
def test_bisection_finds_the_largest_that_fits(most: int) -> None:
    for limit in (0, 1, 5, 999, 1000, 5000):
        assert largest(most, lambda value, limit=limit: value <= limit) == min(most, limit)  # type: ignore[misc]


def test_what_is_said_to_fit_does_and_one_more_does_not() -> None:
    made = plan(params={"hidden": [4096, 4096]})
    params = as_network(made.spec, made.params)[1]
    room = Room(made, params, 8192, 20_000, RowsMemory(50 * MIB, 500), 900 * MIB)
    found = {problem["pointer"]: problem["detail"] for problem in room.problems()}
    widths = json.loads(found["/params/hidden"].removeprefix("At most ").removesuffix(" fits."))
    left = room.limit_bytes - room.rows.needed(20_000).high
    assert room.network_bytes(params.model_copy(update={"hidden": widths}), 8192) <= left
    assert room.network_bytes(params.model_copy(update={"hidden": [width + 32 for width in widths]}), 8192) > left
    assert narrowed([256, 1], 128) == [128, 1]


def test_a_sample_comes_from_all_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"x": list(range(50_000))}), path, row_group_size=5000)
    found = take_sample({"path": str(path), "columns": [], "num_rows": 50_000}, 1000, tmp_path)
    rows = pq.read_table(found["path"])["x"].to_numpy()
    assert len(rows) == found["num_rows"] == 1000
    assert (rows == np.sort(rows)).all()
    assert {int(row) // 5000 for row in rows} == {0, 3, 6, 9}
    assert np.ptp(rows[:250]) > 4000
    whole = {"path": str(path), "columns": [], "num_rows": 50_000}
    assert take_sample(whole, 50_000, tmp_path) == whole


def test_rows_that_stand_in_are_as_wide_as_the_layout_says() -> None:
    layout = Layout(2, 1, (Block("one_hot", 5), Block("index", 7), Block("ordinal", 3), Block("levels", 9)))
    x_BF = stand_in(layout, 400)
    assert x_BF.shape == (400, layout.num_inputs)
    assert (x_BF[:, 3:8].sum(axis=1) == 1).all()
    assert set(x_BF[:, 8].tolist()) == set(range(1, 8))
    assert x_BF[:, 9].max() == 1.0


def test_compiling_is_not_tried_but_counted(tmp_path: Path) -> None:
    dataset = regression(tmp_path / "d.parquet", 300, 3)
    request = {"dataset": dataset, "target": "y", "spec": "dense", "wall_seconds": 1e5, "memory_bytes": 4 << 30}
    timings = []
    for compiles in (False, True):
        params = {"epochs": 5, "early_stopping": None, "compile": compiles}
        said: list[dict[str, Any]] = []
        estimate.run(request | {"params": params}, folder=tmp_path, emit=said.append, control=lambda: None)
        timings.append(said[-1]["timing"])
    plain, compiled = timings
    assert plain["seconds"]["high"] < 60 <= compiled["seconds"]["high"]
    assert compiled["memory_bytes"]["high"] > plain["memory_bytes"]["high"] + (100 << 20)
    assert [sum("Compiling was not tried" in each for each in timing["assumed"]) for timing in timings] == [0, 1]
    taken = (0.0, 0.1, Interval(0.1, 0.2), Interval(0.1, 0.1), 1.0)
    as_it_is, faster = Measured(*taken), Measured(*taken, is_compiled=True)
    assert faster.seconds(100).low < 0.5 * as_it_is.seconds(100).low
    assert faster.seconds(100).high == as_it_is.seconds(100).high + 60


def test_early_stopping_makes_the_end_uncertain_and_both_ends_are_told() -> None:
    params = as_network(*(lambda made: (made.spec, made.params))(plan(params={"epochs": 100})))[1]
    assert epochs_of(params, True) == (41, 100)
    assert epochs_of(params, False) == (100, 100)
    measured = Measured(0.0, 0.1, Interval(0.1, 0.2), Interval(0.1, 0.1), 1.0)
    assert measured.seconds(41).low < measured.seconds(100).low < measured.seconds(100).high
    fitting = measured.epochs_within(10.0)
    assert measured.seconds(fitting).high <= 10.0 < measured.seconds(fitting + 1).high
