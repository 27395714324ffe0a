"""A NumPy array is read by its type and shape; nothing in it is ever unpickled."""

from __future__ import annotations

import io
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.datasets.ingest import ingest
from app.datasets.reading import numpy_file
from app.errors import Invalid, TooLarge, UnsupportedMedia
from tests.datasets.reading import IngestLimits, read, refusal


def npy(array: Any) -> bytes:
    """The array as numpy.save writes it."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def with_header(header: str, data: bytes = b"") -> bytes:
    """A file with a header of one's own."""
    text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (np.array([1, 2], "i1"), "integer", [1, 2]),
        (np.array([1, 2], ">i8"), "integer", [1, 2]),
        (np.array([2**63 - 1], "u8"), "integer", [2**63 - 1]),
        (np.array([2**64 - 1, 1], "u8"), "category", [str(2**64 - 1), "1"]),
        (np.array([0.5, np.nan], ">f4"), "real", [0.5, None]),
        (np.array([0.5, -2], "f2"), "real", [0.5, -2.0]),
        (np.array([True, False]), "boolean", [True, False]),
        (np.array(["ä😀", ""]), "category", ["ä😀", ""]),
        (np.array(["x", "yz"], ">U2"), "category", ["x", "yz"]),
        (np.array([b"x", "é".encode()]), "category", ["x", "é"]),
        (np.array(["2024-01-02", "NaT"], "M8[D]"), "datetime", ["2024-01-02T00:00:00Z", None]),
        (np.array(["2024-01-02T03:04:05.678901234"], "M8[ns]"), "datetime", ["2024-01-02T03:04:05.678901Z"]),
        (np.array(["2024"], ">M8[Y]"), "datetime", ["2024-01-01T00:00:00Z"]),
    ],
)
def test_a_list_of_values_is_one_column(array: Any, kind: str, values: list[object]) -> None:
    table = read(npy(array), "")
    assert (table.types, table.values("column_1")) == ({"column_1": kind}, values)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<i4"])
def test_a_matrix_keeps_rows_and_columns_apart(monkeypatch: pytest.MonkeyPatch, order: Any, kind: str) -> None:
    monkeypatch.setattr(numpy_file, "CHUNK_BYTES", 100)
    array = np.array(np.arange(60).reshape(20, 3), kind, order=order)
    table = read(npy(array), "")
    assert [list(row.values()) for row in table.rows] == array.tolist()
    assert list(table.columns) == ["column_1", "column_2", "column_3"]


def test_fields_are_columns() -> None:
    array = np.array(
        [(1, 2.5, "x", True), (2, np.nan, "y", False)], [("i", ">i8"), ("f", "f4"), ("s", "U1"), ("ö", "?")]
    )
    assert read(npy(array), "").rows == [
        {"i": 1, "f": 2.5, "s": "x", "ö": True},
        {"i": 2, "f": None, "s": "y", "ö": False},
    ]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(2, complex), "complex"),
        (np.zeros(2, "g"), "long doubles"),
        (np.zeros(2, "m8[s]"), "lengths of time"),
        (np.zeros(2, "M8"), "without a unit"),
        (np.zeros(2, "V3"), "raw bytes"),
        (np.zeros(1, [("column_1", "i4", (2,))]), "nested"),
        (np.array([1.0, np.inf]), "'inf' has no value as real"),
        (np.array([b"x", b"\xff"]), "row 2: the value is not text"),
        (np.array(["x", "\ud800"]), "row 2: the value is not text"),
        (np.array([0, 2**60], "M8[D]"), "too far from today"),
        (np.array([0, 10**13], "M8[s]"), "too far from today"),
        (np.array([0, 10**12], "M8[s]"), "no value as datetime"),
    ],
)
def test_values_that_no_table_has_are_refused_by_column(array: Any, said: str) -> None:
    fault = refusal(npy(array), "npy")
    assert fault.errors[0]["pointer"] == "/columns/column_1"
    assert said in fault.errors[0]["detail"]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(()), "no dimensions"),
        (np.zeros((2, 2, 2)), "2×2×2 dimensions"),
        (np.zeros(0), "no rows"),
        (np.zeros((2, 0)), "no columns"),
        (np.zeros(1, [("a", "i4"), ("A", "i4")]), "only in case"),
    ],
)
def test_shapes_that_are_no_table_are_refused(array: Any, said: str) -> None:
    assert said in refusal(npy(array), "npy").detail


class Payload:
    """An object whose pickle would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return open, ("was-unpickled",)


def test_an_array_of_objects_is_refused_as_the_pickle_it_is(tmp_path: Path) -> None:
    objects = with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([Payload()]))
    fields = with_header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1]))
    for content in (objects, fields):
        with pytest.raises(UnsupportedMedia, match="a pickle"):
            read(content, "")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 'x', }",
        "{'descr': 'nope', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': 7, 'shape': (1,), }",
        "{'descr': '<f8'}",
        "__import__('os').abort()",
        "(" * 9_000,
        "-" * 9_000 + "1",
        "",
    ],
    ids=range(11),
)
def test_a_header_that_does_not_fit_its_file_is_refused(header: str) -> None:
    assert "cannot be read as a NumPy array" in refusal(with_header(header, b"\0" * 8), "npy").detail


def test_an_array_cut_anywhere_is_refused() -> None:
    whole = npy(np.arange(20.0).reshape(10, 2))
    for length in range(7, len(whole), 5):
        assert "damaged or cut" in refusal(whole[:length], "npy").detail
    assert "goes on" in refusal(whole + whole, "npy").detail


def test_a_matrix_wider_than_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge, match="11 columns"):
        read(npy(np.zeros((2, 11))), "npy", limits=IngestLimits(columns=10))


def test_a_large_array_is_read_in_small_parts(tmp_path: Path) -> None:
    path, names = tmp_path / "large.npy", ["a", "b"]
    np.save(path, np.broadcast_to(np.arange(2.0), (10_000_000, 2)))
    tracemalloc.start()
    try:
        num_rows = sum(len(batch[0]) for batch in numpy_file._batches(numpy_file._mapped(path), names))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (num_rows, path.stat().st_size > 150 << 20) == (10_000_000, True)
    assert peak_bytes < 3 * numpy_file.CHUNK_BYTES


def test_the_sandboxed_child_refuses_a_pickle(tmp_path: Path) -> None:
    source = tmp_path / "objects.npy"
    source.write_bytes(with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1])))
    with pytest.raises(UnsupportedMedia, match="a pickle"):
        ingest(source, format="npy", folder=tmp_path, limits=IngestLimits())
    source.write_bytes(npy(np.arange(3)))
    assert ingest(source, format="npy", folder=tmp_path, limits=IngestLimits()).num_rows == 3
    with pytest.raises(Invalid):
        source.write_bytes(b"\x93NUMPY")
        ingest(source, format="npy", folder=tmp_path, limits=IngestLimits())
