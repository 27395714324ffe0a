"""Read a NumPy array (.npy) as a table: the header checked against the file first, never anything unpickled."""

from __future__ import annotations

import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from app.datasets.limits import IngestLimits, check_names, check_size, invalid, pointer, shown
from app.datasets.reading.parquet_copy import COPY, write_copy
from app.datasets.reading.parquet_file import open_parquet
from app.datasets.reading.source import PLAIN, Dialect, Source
from app.errors import UnsupportedMedia

if TYPE_CHECKING:
    import numpy as np

CHUNK_BYTES = 16 * 2**20
MAX_HEADER_CHARACTERS = 2**20
# Arrow types by the kind and size of a NumPy type; float16 becomes float32, which holds all of its values.
TYPES = {f"{kind}{size}": f"{name}{8 * size}" for kind, name in (("i", "int"), ("u", "uint")) for size in (1, 2, 4, 8)}
TYPES |= {"b1": "bool", "f2": "float", "f4": "float", "f8": "double"}
UNREADABLE = {
    "c": "complex numbers",
    "V": "raw bytes or nested fields",
    "m": "lengths of time",
    "M": "moments without a unit",
    "f": "long doubles",
}
MICROSECONDS = "datetime64[us]"
FINER_UNITS = ("ns", "ps", "fs", "as")
# What NumPy raises for headers that make no sense; some are too deep for the parser of their literals.
UNREADABLE_HEADER = (
    ValueError, TypeError, SyntaxError, ArithmeticError, RecursionError, MemoryError, OSError, tokenize.TokenError,
)  # fmt: skip


def open_npy(
    connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect = PLAIN
) -> Source:
    """An array as a source: its fields are the columns, else column_1, column_2, …

    Raises UnsupportedMedia for arrays of Python objects, which are pickles, Invalid for damaged files and for
    shapes and types that are no table of plain values, TooLarge.
    """
    array = _mapped(path)
    if array.dtype.names is None and array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != (2 if array.dtype.names is None else 1):
        shape = "×".join(map(str, array.shape)) or "no"
        raise invalid(f"The array has {shape} dimensions: a table is one row of values or a list of rows.")
    names = list(array.dtype.names or (f"column_{i}" for i in range(1, array.shape[1] + 1)))
    check_names(names, limits)
    check_size(limits, len(array), len(names))
    types = [_arrow_type(name, array.dtype[name] if array.dtype.names else array.dtype) for name in names]
    write_copy(names, types, _batches(array, names))
    return open_parquet(connection, COPY, limits, dialect)


def _mapped(path: Path) -> np.ndarray[Any, Any]:
    """The array, still in the file. Reading it checks that shape and type fit the size of the file."""
    import numpy as np

    try:
        # A product of dimensions beyond 64 bits would only be warned of.
        with np.errstate(over="raise"):
            array = np.lib.format.open_memmap(path, mode="r", max_header_size=MAX_HEADER_CHARACTERS)
    except UNREADABLE_HEADER as fault:
        if "Python objects" in str(fault):
            reason = (
                "The array holds Python objects, which is a pickle. It can run code when it is read, so it never is."
            )
            raise UnsupportedMedia(reason) from None
        raise invalid("The file is damaged or cut: it cannot be read as a NumPy array.") from None
    if array.offset + array.nbytes != path.stat().st_size:
        raise invalid("The file goes on after the end of the array; send one array in a file.")
    return array


def _arrow_type(name: str, kind: np.dtype[Any]) -> str:
    if kind.kind in "SU":
        return "string"
    if kind.kind == "M" and kind.str.endswith("]"):
        return "timestamp[us]"
    found = TYPES.get(kind.str[1:])
    if found is None:
        what = UNREADABLE.get(kind.kind, "values of another kind")
        fault = f"holds {what} ({shown(kind)}), which are not read"
        raise invalid(f"Column {shown(name)} {fault}.", [(pointer("columns", name), fault)])
    return found


def _batches(array: np.ndarray[Any, Any], names: list[str]) -> Iterator[list[Any]]:
    row_bytes = max(1, array.nbytes // len(array))
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, len(array), step):
        rows = array[start : start + step]
        columns = (rows[name] for name in names) if array.dtype.names else rows.T
        yield [_values(name, start, column) for name, column in zip(names, columns, strict=True)]


def _values(name: str, start: int, column: np.ndarray[Any, Any]) -> Any:
    """The values of one column in a form that Arrow takes. Raises Invalid, naming the column and, if known, the row."""
    import numpy as np

    kind = column.dtype
    if kind.kind in "SU":
        return _texts(name, start, column)
    if kind.kind == "M":
        return _moments(name, start, column)
    return np.ascontiguousarray(column, np.float32 if kind.str[1:] == "f2" else kind.newbyteorder("="))


def _texts(name: str, start: int, column: np.ndarray[Any, Any]) -> list[str]:
    try:
        values = column.tolist()
    except ValueError:
        raise _wrong(name, start + 1, "or one below it has a character that does not exist") from None
    return [_text(name, row, value) for row, value in enumerate(values, start=start + 1)]


def _text(name: str, row: int, value: str | bytes) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else value.encode().decode()
    except UnicodeError:
        raise _wrong(name, row, "is not text in Unicode") from None


def _moments(name: str, start: int, column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        moments = column.astype(MICROSECONDS)
    except (OverflowError, ValueError):
        raise _wrong(name, start + 1, "or one below it is too far from today") from None
    if np.datetime_data(column.dtype)[0] not in FINER_UNITS:
        is_lost = (moments.astype(column.dtype) != column) & ~np.isnat(column)
        if is_lost.any():
            raise _wrong(name, start + int(is_lost.argmax()) + 1, "is too far from today")
    return moments


def _wrong(name: str, row: int, fault: str) -> Exception:
    detail = f"row {row}: the value {fault}"
    return invalid(f"Column {shown(name)}, {detail}.", [(pointer("columns", name), detail)])
