"""Pages of rows come from the row groups they lie in, as plain JSON."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from app.datasets import rows
from app.datasets.rows import read_rows


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    moments = pa.array([1_704_067_200_500_000 + i for i in range(100)], pa.timestamp("us", tz="UTC"))
    table = pa.table({"n": list(range(100)), "t": moments, "s": [None, "x"] * 50})
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=30)
    return path


@pytest.mark.parametrize(("offset", "limit"), [(0, 5), (28, 4), (0, 100), (29, 62), (90, 50), (30, 30), (99, 1)])
def test_a_page_is_what_a_slice_would_be(stored: Path, offset: int, limit: int) -> None:
    found = [row["n"] for row in read_rows(stored, ["n"], offset=offset, limit=limit)]
    assert found == list(range(100))[offset : offset + limit]


@pytest.mark.parametrize(("offset", "limit"), [(100, 5), (10**12, 5), (5, 0)])
def test_a_page_beyond_the_end_is_empty(stored: Path, offset: int, limit: int) -> None:
    assert read_rows(stored, None, offset=offset, limit=limit) == []


def test_rows_are_plain_json_in_the_order_of_the_columns(stored: Path) -> None:
    assert read_rows(stored, None, offset=1, limit=1) == [{"n": 1, "t": "2024-01-01T00:00:00.500001Z", "s": "x"}]
    assert list(read_rows(stored, ["s", "n"], offset=0, limit=1)[0].items()) == [("s", None), ("n", 0)]


def test_only_the_row_groups_of_the_page_are_decoded(stored: Path) -> None:
    with pyarrow.parquet.ParquetFile(stored) as file:
        assert rows._groups(file.metadata, 35, 10) == ([1], 30)
        assert rows._groups(file.metadata, 25, 40) == ([0, 1, 2], 0)


def test_an_unknown_column_is_a_key_error(stored: Path) -> None:
    with pytest.raises(KeyError, match="nope"):
        read_rows(stored, ["n", "nope"], offset=0, limit=1)
