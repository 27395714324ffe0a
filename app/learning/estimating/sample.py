"""A few rows of a data set, read without reading the rest.

Deterministic: a function of the file and the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NUM_GROUPS = 4
# A row group of so many cells is gone through as a whole, to draw its rows at random: its first rows may be alike.
DRAWN_CELLS = 4_000_000
ROWS_AT_ONCE = 8192


def take_sample(dataset: Mapping[str, Any], num_rows: int, folder: Path) -> dict[str, Any]:
    """Return the `dataset` member of a request for about so many rows, written into `folder`; small sets are whole.

    The rows come from row groups at even distances and keep their order.
    """
    if dataset["num_rows"] <= num_rows:
        return dict(dataset)
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    with pq.ParquetFile(dataset["path"]) as file:
        num_groups = min(NUM_GROUPS, file.num_row_groups)
        groups = np.unique(np.linspace(0, file.num_row_groups - 1, num_groups).round().astype(int)).tolist()
        pieces = [_piece(file, group, -(-num_rows // len(groups)), generator) for group in groups]
    table = pa.concat_tables(pieces)
    path = folder / f"sample-{num_rows}.parquet"
    pq.write_table(table, path)
    return {"path": str(path), "columns": dataset["columns"], "num_rows": table.num_rows, "sha256": None}


def _piece(file: Any, group: int, num_rows: int, generator: np.random.Generator) -> Any:
    import pyarrow as pa

    metadata = file.metadata.row_group(group)
    few_cells = metadata.num_rows * metadata.num_columns <= DRAWN_CELLS
    there = metadata.num_rows if few_cells else min(num_rows, metadata.num_rows)
    is_chosen = np.zeros(there, np.bool_)
    is_chosen[generator.choice(there, min(num_rows, there), replace=False)] = True
    pieces, start = [], 0
    for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        head = batch.slice(0, there - start)
        pieces.append(head.filter(pa.array(is_chosen[start : start + len(head)])))
        start += len(head)
        if start == there:
            break
    return pa.Table.from_batches(pieces)
