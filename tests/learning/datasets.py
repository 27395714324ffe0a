"""Data sets for the learning tests: tables written as our Parquet files, with the profile ingest would give."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ARROW_TYPES = {
    "integer": pa.int64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", "UTC"),
    "category": pa.string(),
    "text": pa.string(),
    "identifier": pa.string(),
}
READERS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "real": float,
    "boolean": lambda text: text.lower() == "true",
    "datetime": lambda text: datetime.fromisoformat(text).astimezone(UTC),
}
REPOSITORY = Path(__file__).parents[2]


def write_dataset(path: Path, types: Mapping[str, str], columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Write columns as Parquet and return the `dataset` member of a training request."""
    arrays = [pa.array(columns[name], type=ARROW_TYPES[kind]) for name, kind in types.items()]
    pq.write_table(pa.table(arrays, names=list(types)), path, compression="zstd")
    return {
        "path": str(path),
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "num_rows": len(arrays[0]),
        "columns": [profile(name, kind, columns[name]) for name, kind in types.items()],
    }


def profile(name: str, kind: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return what ingest tells about a column, as far as learning uses it."""
    present = [value for value in values if value is not None and value == value]
    column = {
        "name": name,
        "type": kind,
        "num_missing": len(values) - len(present),
        "num_distinct": len(set(present)),
    }
    if kind in ("integer", "real") and present:
        column |= {"min": min(present), "max": max(present)}
    return column


def read_csv(path: Path) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """Return types and values of a plain CSV: integer, real, or category."""
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    texts = {name: [row[index] or None for row in rows] for index, name in enumerate(header)}
    types = {name: _infer([text for text in values if text is not None]) for name, values in texts.items()}
    return types, {
        name: [None if text is None else READERS.get(types[name], str)(text) for text in values]
        for name, values in texts.items()
    }


def _infer(texts: Sequence[str]) -> str:
    for kind in ("integer", "real"):
        try:
            for text in texts:
                READERS[kind](text)
        except ValueError:
            continue
        return kind
    return "category"


def with_split(
    types: Mapping[str, str], columns: Mapping[str, Sequence[Any]], test_rows: Sequence[int], num_validation: int
) -> tuple[dict[str, str], dict[str, Sequence[Any]]]:
    """Add a column `part`: the given rows test, about one in `num_validation` of the others validates."""
    num_rows = len(next(iter(columns.values())))
    test = set(test_rows)
    rest = [row for row in range(num_rows) if row not in test]
    validation = set(rest[::num_validation]) if num_validation else set()
    part = ["test" if row in test else "validation" if row in validation else "train" for row in range(num_rows)]
    return dict(types) | {"part": "category"}, dict(columns) | {"part": part}


def to_row(types: Mapping[str, str], columns: Mapping[str, Sequence[Any]], row: int) -> dict[str, Any]:
    """Return one row as a client would send it in JSON."""
    sent = {}
    for name, kind in types.items():
        value = columns[name][row]
        if isinstance(value, datetime):
            value = value.isoformat()
        sent[name] = None if kind == "real" and value is not None and math.isnan(value) else value
    return sent


def penguins() -> tuple[dict[str, str], dict[str, Sequence[Any]]]:
    """Return the penguins with their fixed test rows in the column `part`."""
    types, columns = read_csv(REPOSITORY / "examples" / "penguins.csv")
    lines = (REPOSITORY / "tests" / "data" / "penguins.test_rows.txt").read_text().split()
    return with_split(types, columns, [int(line) for line in lines], 5)
