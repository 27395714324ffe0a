"""Gathering: blocks with the same columns become one typed, profiled version, in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from app.datasets.ingest import Ingested, IngestLimits, carry_out

COLUMNS = [
    {"name": "kept", "type": "integer", "policies": {"missing": "reject", "wrong_type": "impute"}},
    {"name": "label", "type": "category"},
    {"name": "odd, \"name\"", "type": "real"},
    {"name": "at", "type": "datetime"},
]  # fmt: skip


def gather(folder: Path, sizes: list[int]) -> Ingested:
    inputs, start = {}, 0
    for size in sizes:
        numbers = range(start, start + size)
        block = pyarrow.table(
            {
                "0": pyarrow.array(numbers, pyarrow.int64()),
                "1": pyarrow.array([None if n % 7 == 0 else f"class {n % 3}" for n in numbers]),
                "2": pyarrow.array(np.array(numbers, np.float32) / 8),
                "3": pyarrow.array([n * 1_000_000 for n in numbers], pyarrow.timestamp("us", "UTC")),
            }
        )
        inputs[f"block-{start}"] = folder / f"{start}.parquet"
        pyarrow.parquet.write_table(block, inputs[f"block-{start}"])
        start += size
    return carry_out(
        {"operation": "gather", "columns": COLUMNS}, inputs, folder=folder, limits=IngestLimits(), sandbox="off"
    )


def test_the_rows_of_all_blocks_stand_in_their_order(tmp_path: Path) -> None:
    made = gather(tmp_path, [5000, 5000, 5000, 17])
    table = pyarrow.parquet.read_table(made.parquet)
    assert made.num_rows == 15_017
    assert table.column_names == [column["name"] for column in COLUMNS]
    assert table.column(0).to_pylist() == list(range(15_017))
    assert table.column(2).to_pylist()[-1] == 15_016 / 8
    assert [column["type"] for column in made.columns] == [column["type"] for column in COLUMNS]
    assert made.columns[1]["num_missing"] == len(range(0, 15_017, 7))
    assert made.columns[0]["policies"] == {"missing": "reject", "out_of_range": "flag", "wrong_type": "impute"}


def test_the_same_blocks_give_the_same_bytes_and_many_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    once, again = (gather(folder, [3] * 400) for folder in (tmp_path, tmp_path / "again"))
    assert once.parquet.read_bytes() == again.parquet.read_bytes()
    assert once.num_rows == 1200
