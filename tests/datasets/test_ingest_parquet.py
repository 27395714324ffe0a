"""Parquet is read by its declared types; what a table of plain values cannot hold is refused by name."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from app.errors import TooLarge
from tests.datasets.reading import IngestLimits, parquet, read, refusal


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([1, None, 3], pa.int8()), "integer", [1, None, 3]),
        (pa.array([2**32 - 1], pa.uint32()), "integer", [2**32 - 1]),
        (pa.array([2**63 - 1], pa.uint64()), "integer", [2**63 - 1]),
        (pa.array([2**63, 1], pa.uint64()), "real", [float(2**63), 1.0]),
        (pa.array([2**64 - 1, 1], pa.uint64()), "category", [str(2**64 - 1), "1"]),
        (pa.array([0.5, None], pa.float32()), "real", [0.5, None]),
        (pa.array([1.0, float("nan")]), "real", [1.0, None]),
        (pa.array([True, None]), "boolean", [True, None]),
        (pa.array(["x", None, ""]), "category", ["x", None, ""]),
        (pa.array(["x"], pa.large_string()), "category", ["x"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), "category", ["x", "y", "x"]),
        (pa.array(["2024-01-01"]), "datetime", ["2024-01-01T00:00:00Z"]),
        (pa.array([Decimal("1.50")]), "real", [1.5]),
        (pa.array([1, 2], pa.decimal128(10, 0)), "integer", [1, 2]),
        (pa.array([date(2024, 1, 2)]), "datetime", ["2024-01-02T00:00:00Z"]),
        (pa.array([datetime(2024, 1, 2, 3, tzinfo=UTC)]), "datetime", ["2024-01-02T03:00:00Z"]),
        (pa.array([1_500_000_000], pa.timestamp("ns")), "datetime", ["1970-01-01T00:00:01.500000Z"]),
        (pa.array([time(1, 2)]), "category", ["01:02:00"]),
        (pa.nulls(2), "category", [None, None]),
    ],
)
def test_plain_types_are_kept(array: Any, kind: str, values: list[object]) -> None:
    table = read(parquet(pa.table({"x": array})), "parquet")
    assert table.types["x"] == kind
    assert table.values("x") == values


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (pa.array([[1]]), "BIGINT[]"),
        (pa.array([{"a": 1}]), "STRUCT"),
        (pa.array([b"x"]), "BLOB"),
        (pa.array([float("inf")]), "'inf' has no value as real"),
        (pa.array([2**62], pa.timestamp("us")), "no value as datetime"),
        (pa.array(["x\0y"]), "NUL"),
    ],
)
def test_other_values_are_refused_by_column(array: Any, said: str) -> None:
    fault = refusal(parquet(pa.table({"n": [1], "x": array})), "parquet")
    assert fault.errors[0]["pointer"] == "/columns/x"
    assert said in fault.errors[0]["detail"]


@pytest.mark.parametrize(("names", "said"), [(["a", "a"], "repeats"), (["a", "A"], "case"), (["a", ""], "no name")])
def test_names_must_be_told_apart(names: list[str], said: str) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names)
    assert said in refusal(parquet(table), "parquet").detail


def test_a_nested_column_does_not_shift_the_names_behind_it() -> None:
    table = pa.table({"deep": [{"a": {"b": 1}, "c": [2]}], "n": [1]})
    fault = refusal(parquet(table), "parquet")
    assert [error["pointer"] for error in fault.errors] == ["/columns/deep"]


def test_a_file_cut_anywhere_is_refused() -> None:
    whole = parquet(pa.table({"a": list(range(100)), "b": ["x"] * 100}))
    for length in range(4, len(whole), 97):
        assert "cannot be read as parquet" in refusal(whole[:length], "parquet").detail


def test_a_table_without_rows_is_refused() -> None:
    assert "no rows" in refusal(parquet(pa.table({"a": pa.array([], pa.int64())})), "parquet").detail


def test_half_a_kilobyte_that_decodes_to_gigabytes_is_too_large() -> None:
    words = pa.array(["x" * 1_000_000]).dictionary_encode().take(pa.array([0] * 9_000))
    bomb = parquet(pa.table({"a": words}), compression="zstd")
    assert len(bomb) < 1_000
    with pytest.raises(TooLarge, match="decodes to over 8,589,934,592 bytes"):
        read(bomb, "parquet")


def test_rows_and_cells_are_counted_before_anything_is_decoded() -> None:
    table = parquet(pa.table({"a": [1] * 100, "b": [2] * 100}))
    with pytest.raises(TooLarge, match="100 rows"):
        read(table, "parquet", limits=IngestLimits(rows=99))
    with pytest.raises(TooLarge, match="200 cells"):
        read(table, "parquet", limits=IngestLimits(cells=199))


def test_a_requested_type_applies_to_declared_types_too() -> None:
    content = parquet(pa.table({"zip": [1234, 99], "flag": [0, 1], "n": [1.0, 2.0]}))
    table = read(content, "parquet", {"zip": "category", "flag": "boolean", "n": "integer"})
    assert table.types == {"zip": "category", "flag": "boolean", "n": "integer"}
    assert table.rows == [{"zip": "1234", "flag": False, "n": 1}, {"zip": "99", "flag": True, "n": 2}]
