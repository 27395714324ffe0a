"""A model's answers to a whole data set, block by block: what runs inside a child of a batch prediction.

Blocks are cut by the number of rows alone, so an attempt that goes on after the last finished block writes the same
bytes as one that was never disturbed; memory holds two blocks, whatever the size of the data set. Imports no torch.
Shapes: y_BK answers to B rows, as in runtime.py; refused_B which rows have none. Deterministic: same data, model and
CPU give the same bytes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.learning.batch_columns import Answers, arrow_columns
from app.learning.data import Column, Table, from_arrow, is_missing
from app.learning.errors import LearningError
from app.learning.preprocess import convert_inputs
from app.learning.runtime import BATCH_ROWS, Predictor

Emit = Callable[[dict[str, Any]], None]
MAX_BLOCK_ROWS = 8 * BATCH_ROWS
# Rows of very wide tables come in smaller blocks: a cell takes about 40 bytes on its way.
MAX_BLOCK_CELLS = 8_000_000


class Stopped(Exception):
    """The work was asked to end: to pause, or for good."""


class Refusals:
    """What is remarkable about the rows of a block: refused cells one by one, warnings counted by column and code."""

    def __init__(self) -> None:
        self.refused: list[tuple[int, str | None, str]] = []
        self.warned: Counter[tuple[str, str]] = Counter()

    def warn(self, rows: Iterable[int], column: str, code: str, detail: str) -> None:
        """Count these rows."""
        self.warned[column, code] += len(list(rows))

    def refuse(self, rows: Iterable[int], column: str | None, detail: str) -> None:
        """Note that these rows have no answer, and why."""
        self.refused += [(row, column, detail) for row in rows]


def run(request: Mapping[str, Any], *, folder: Path, emit: Emit, control: Callable[[], str | None]) -> None:
    """Answer the rows of a data set from `first_row` on; tells of each block that is finished.

    `control` is asked after every block and answers None or a word that may end the work. Expected failures end as an
    `error` message; anything raised is a bug.
    """
    try:
        _answer_all(request, folder, emit, control)
    except LearningError as error:
        emit({"type": "error", "code": error.code, "message": error.message, "pointer": error.pointer})
    except Stopped as asked:
        emit({"type": "stopped", "reason": "cancelled" if str(asked) == "cancel" else "paused"})
    else:
        emit({"type": "result"})


def num_block_rows(num_columns: int) -> int:
    """How many rows a block has, where so many columns are read."""
    fitting = MAX_BLOCK_CELLS // max(1, num_columns)
    return min(MAX_BLOCK_ROWS, max(1, fitting // BATCH_ROWS) * BATCH_ROWS)


def _answer_all(request: Mapping[str, Any], folder: Path, emit: Emit, control: Callable[[], str | None]) -> None:
    emit({"type": "phase", "phase": "loading"})
    dataset, first_row = request["dataset"], request["first_row"]
    predictor = Predictor.load(request["manifest"], Path(request["graph"]).read_bytes())
    needed = {*predictor.preparation.input_names, *request["keep"]}
    columns = [column for column in dataset["columns"] if column["name"] in needed]
    answers = Answers(request["manifest"], interval=request["interval"], probabilities=request["probabilities"])
    emit({"type": "phase", "phase": "predicting"})
    started = time.monotonic()
    for block, table in _ahead(Path(dataset["path"]), columns, first_row):
        y_BK, notes = answer_block(predictor, table, columns)
        refused_B = _refused(notes, len(y_BK))
        kept = {name: block.column(name) for name in request["keep"]}
        written = _write(folder / f"{first_row}.parquet", {**kept, **arrow_columns(answers, y_BK, refused_B)})
        rejected = _write_rejected(folder / f"{first_row}.jsonl", notes, first_row) if notes.refused else None
        warned = [[column, code, count] for (column, code), count in sorted(notes.warned.items())]
        told = {"first_row": first_row, "num_rows": len(y_BK), "num_rejected": int(refused_B.sum())}
        told |= {"answers": written, "rejected": rejected, "warnings": warned}
        first_row += len(y_BK)
        speed = (first_row - request["first_row"]) / max(time.monotonic() - started, 1e-9)
        emit({"type": "block", **told, "rows_per_second": speed})
        _obey(control)


def _ahead(path: Path, columns: Sequence[Column], first_row: int) -> Iterator[tuple[Any, Table]]:
    """Read and decode a block while the one before it is answered, which takes about as long."""
    blocks = ((block, from_arrow(block, columns)) for block in read_blocks(path, columns, first_row))
    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = reader.submit(next, blocks, None)
            yield block


def read_blocks(path: Path, columns: Sequence[Column], first_row: int) -> Iterator[Any]:
    """Hand out the rows from `first_row` on as Arrow tables of `num_block_rows`, the last one with what is left."""
    import pyarrow
    import pyarrow.parquet

    names = [column["name"] for column in columns]
    size = num_block_rows(len(names))
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        groups, skipped = _groups_from(file.metadata, first_row)
        held: list[Any] = []
        for batch in file.iter_batches(size, row_groups=groups, columns=names, use_threads=False):
            part, skipped = batch.slice(skipped), max(0, skipped - batch.num_rows)
            held.append(part)
            while sum(each.num_rows for each in held) >= size:
                table = pyarrow.Table.from_batches(held)
                yield table.slice(0, size)
                held = table.slice(size).to_batches()
        if any(each.num_rows for each in held):
            yield pyarrow.Table.from_batches(held)


def answer_block(predictor: Predictor, table: Table, columns: Sequence[Column]) -> tuple[NDArray[np.float32], Refusals]:
    """Return the answers y_BK to rows of a data set, and what a prediction of each row would say about it.

    Rows that are refused have numbers that mean nothing.
    """
    notes = Refusals()
    preparation = predictor.preparation
    inputs = convert_inputs(table, preparation.inputs, {each["name"]: each["type"] for each in columns}, notes)
    empty = _empty_rows(inputs)
    notes.refuse(empty, None, f"all {len(preparation.inputs)} input columns are missing")
    y_BK = predictor.answer_inputs(preparation.transform(inputs, notes))
    finite_B = np.isfinite(y_BK).all(axis=1)
    if not finite_B.all():
        known = {row for row, _, _ in notes.refused}
        rows = [row for row in np.flatnonzero(~finite_B).tolist() if row not in known]
        notes.refuse(rows, None, "the values are too large for the model: its answer is not a number")
    return y_BK, notes


def _empty_rows(inputs: Table) -> list[int]:
    """The rows without any value; columns of numbers rule most rows out before others are looked at."""
    left_I = np.arange(inputs.num_rows)
    for values in sorted(inputs.columns.values(), key=lambda values: values.dtype == object):
        if not len(left_I):
            break
        left_I = left_I[is_missing(values[left_I])]
    return left_I.tolist()


def _refused(notes: Refusals, num_rows: int) -> NDArray[np.bool_]:
    refused_B = np.zeros(num_rows, np.bool_)
    refused_B[[row for row, _, _ in notes.refused]] = True
    return refused_B


def _groups_from(metadata: Any, first_row: int) -> tuple[list[int], int]:
    """The row groups from the one on that holds a row, and how many rows lie before that row in it."""
    start = 0
    for group in range(metadata.num_row_groups):
        end = start + metadata.row_group(group).num_rows
        if first_row < end:
            return list(range(group, metadata.num_row_groups)), first_row - start
        start = end
    return [], 0


def _write(path: Path, columns: Mapping[str, Any]) -> dict[str, Any]:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_arrays(list(columns.values()), names=list(columns))
    pyarrow.parquet.write_table(table, path, compression="lz4", store_schema=False)
    return _told(path)


def _write_rejected(path: Path, notes: Refusals, first_row: int) -> dict[str, Any]:
    """Write a line for each refused cell, in the order of the rows; rows are counted from 0 over the data set."""
    problems = sorted(notes.refused, key=lambda problem: problem[0])
    lines = ({"row": first_row + row, "column": column, "detail": detail} for row, column, detail in problems)
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return _told(path)


def _told(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"path": str(path), "sha256": sha256(content).hexdigest(), "size_bytes": len(content)}


def _obey(control: Callable[[], str | None]) -> None:
    word = control()
    # The time limit may change meanwhile; the worker sees to that.
    if word is not None and not word.startswith("limit"):
        raise Stopped(word)
