"""Typed columns in memory, and the way from our Parquet files to them.

Shapes: every column of a Table is (num_rows,). integer, real, boolean and datetime columns are float64
with NaN for missing (datetime in UTC seconds since 1970, boolean 0 or 1); category, text and identifier
columns are object arrays of str with None for missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.learning.errors import LearningError, shown

ColumnType = Literal["integer", "real", "boolean", "category", "text", "datetime", "identifier"]
NUMBER_TYPES = frozenset({"integer", "real", "boolean", "datetime"})
MICROSECONDS_PER_SECOND = 1e6

Column = Mapping[str, Any]
Values = NDArray[Any]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length, in the representation named at the top of this file."""

    num_rows: int
    columns: dict[str, Values]

    def take(self, rows_I: Indices | NDArray[np.bool_]) -> Table:
        """Return the rows at these indices (or where the mask is true), in that order."""
        columns = {name: values[rows_I] for name, values in self.columns.items()}
        num_rows = int(rows_I.sum()) if rows_I.dtype == np.bool_ else len(rows_I)
        return Table(num_rows, columns)


def is_missing(values: Values) -> NDArray[np.bool_]:
    """Return where a column has no value."""
    if values.dtype == object:
        return np.fromiter((value is None for value in values), np.bool_, len(values))
    return np.isnan(values)


def read_parquet(path: Path, columns: Sequence[Column]) -> Table:
    """Read the named columns of one of our Parquet files on the calling thread.

    Raises: LearningError when the file lacks one of the columns or holds an infinite number.
    Deterministic: yes; rows keep the order of the file.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read(columns=[column["name"] for column in columns], use_threads=False)
    return from_arrow(table, columns)


def from_arrow(table: Any, columns: Sequence[Column]) -> Table:
    """Return the named columns of an Arrow table as they are held here. Raises: as `read_parquet`."""
    names = table.column_names
    loaded = {}
    for column in columns:
        name = column["name"]
        if name not in names:
            raise LearningError(f"The data set has no column {shown(name)}.", code="dataset-mismatch")
        loaded[name] = _values(name, table.column(names.index(name)), column["type"])
    return Table(table.num_rows, loaded)


def _values(name: str, values: Any, column_type: str) -> Values:
    import pyarrow

    array = pyarrow.concat_arrays(values.chunks) if values.num_chunks else pyarrow.array([], values.type)
    if column_type not in NUMBER_TYPES:
        return _strings(array.cast(pyarrow.string()))
    if column_type == "datetime":
        micros = array.cast(pyarrow.timestamp("us", "UTC")).cast(pyarrow.int64())
        return _floats(micros) / MICROSECONDS_PER_SECOND
    numbers = _floats(array.cast(pyarrow.uint8()) if column_type == "boolean" else array)
    if np.isinf(numbers).any():
        raise LearningError(f"Column {shown(name)} holds an infinite number.", code="dataset-mismatch")
    return numbers


def _floats(array: Any) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = array.to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers


def _strings(array: Any) -> Values:
    # Through a dictionary, so that equal strings share one object: a repeated category costs 8 bytes a cell.
    encoded = array.dictionary_encode()
    words = np.empty(len(encoded.dictionary) + 1, dtype=object)
    words[:-1] = encoded.dictionary.to_pylist()
    shared: Values = words[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()]
    return shared
