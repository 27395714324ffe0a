"""Filtered and sorted pages are what Python gives for the same rows, and no name or value is ever taken for SQL."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.asking.conditions import parse_conditions, parse_sort
from app.datasets.asking.questions import Asking, RowsQuery, find_rows
from app.datasets.limits import IngestLimits
from app.datasets.rows import read_rows
from tests.datasets.stored import ask, entries, table

TYPES = {"n": "integer", "r": "real", "b": "boolean", "t": "datetime", "s": "text"}
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ROWS: list[tuple[Any, ...]] = [
    (3, 0.1, True, NOON, "b"),
    (None, None, None, None, None),
    (2**63 - 1, 5e-324, False, NOON.replace(microsecond=5), ""),
    (3, -0.0, None, NOON.replace(year=1), "it's; DROP TABLE stored --"),
    (-(2**63), 1.7e308, True, None, "é\U0001f600"),
]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
HOSTILE = st.text("a'\"\\;-)(%_*?[]{}|,= é\n", min_size=1, max_size=8).filter(lambda name: name.strip())


def page(
    data: pa.Table,
    types: dict[str, str],
    filters: list[Any],
    sort: str | None = None,
    *,
    shown: list[str] | None = None,
    offset: int = 0,
    limit: int = 100,
) -> dict[str, Any]:
    arguments = {
        "columns": entries(types),
        "conditions": [vars(condition) for condition in parse_conditions(filters, types)],
        "sort": [vars(order) for order in parse_sort(sort, types)],
        "shown": list(types) if shown is None else shown,
        "offset": offset,
        "limit": limit,
    }
    answer: dict[str, Any] = ask("rows", arguments, stored=data)
    return answer


def numbers(filters: list[Any], sort: str | None = None) -> list[int]:
    """The positions of the rows that were found."""
    types = {"i": "integer", **TYPES}
    data = table(types, [(i, *row) for i, row in enumerate(ROWS)])
    return [row["i"] for row in page(data, types, filters, sort)["data"]]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([], [0, 1, 2, 3, 4]),
        (["n=3"], [0, 3]),
        (["n!=3"], [2, 4]),
        (["n>3.5"], [2]),
        (["n<9223372036854775808"], [0, 2, 3, 4]),
        (["n=9223372036854775807"], [2]),
        (["r=0"], [3]),
        (["r=5e-324"], [2]),
        (["b=true"], [0, 4]),
        (["t>=2024-05-01"], [0, 2]),
        (["t>2024-05-01T14:00:00+02:00"], [2]),
        (["t<0002-01-01"], [3]),
        (["s="], [2]),
        (["s contains t's; DROP TABLE"], [3]),
        (["s starts_with é"], [4]),
        (["s in (b|é\U0001f600)"], [0, 4]),
        (["n in (3|-9223372036854775808)"], [0, 3, 4]),
        (["n missing"], [1]),
        (["s present", "b missing"], [3]),
        (["n=3", "r>0"], [0]),
    ],
)
def test_rows_satisfy_every_condition(filters: list[str], found: list[int]) -> None:
    assert numbers(filters) == found


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("n", [4, 0, 3, 2, 1]),
        ("-n", [2, 0, 3, 4, 1]),
        ("-n,-t", [2, 0, 3, 4, 1]),
        ("n,t", [4, 3, 0, 2, 1]),
        ("s", [2, 0, 3, 4, 1]),
        ("b", [2, 0, 4, 1, 3]),
    ],
)
def test_rows_come_in_the_order_asked_for_with_missing_cells_last(sort: str, found: list[int]) -> None:
    assert numbers([], sort) == found


def test_values_are_those_of_a_plain_page(tmp_path: Path) -> None:
    data = table(TYPES, ROWS)
    pyarrow.parquet.write_table(data, tmp_path / "data.parquet")
    plain = read_rows(tmp_path / "data.parquet", None, offset=0, limit=9)
    found = page(data, TYPES, [])
    assert json.dumps(found["data"]) == json.dumps(plain)
    assert found["num_rows"] == len(ROWS)


def test_a_page_of_many_rows_is_a_slice_of_all() -> None:
    types = {"n": "integer", "k": "integer"}
    data = table(types, [(i, i % 7) for i in range(5_000)])
    expected = sorted((i for i in range(5_000) if i % 7 >= 2), key=lambda i: (-(i % 7), i))
    for offset in (0, 10, 3_000, 9_999):
        found = page(data, types, ["k>=2"], "-k", shown=["n"], offset=offset, limit=20)
        assert [row["n"] for row in found["data"]] == expected[offset : offset + 20]
        assert found["num_rows"] == len(expected)
        assert all(list(row) == ["n"] for row in found["data"])


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(HOSTILE, min_size=1, max_size=3, unique_by=str.lower),
    values=st.lists(HOSTILE, min_size=1, max_size=6),
    wanted=HOSTILE,
    op=st.sampled_from(sorted(COMPARE)),
)
def test_names_and_values_are_never_taken_for_sql(names: list[str], values: list[str], wanted: str, op: str) -> None:
    types = dict.fromkeys(names, "text")
    data = table(types, [tuple(value + str(i) for i in range(len(names))) for value in values])
    condition = {"column": names[-1], "op": op, "value": wanted}
    found = page(data, types, [condition], json.dumps(["-" + names[0]]))
    kept = [value for value in values if COMPARE[op](value + str(len(names) - 1), wanted)]
    expected = sorted(kept, key=lambda value: value + "0", reverse=True)
    assert [row[names[0]] for row in found["data"]] == [value + "0" for value in expected]


@pytest.mark.parametrize("name", ["file_row_number", "place", "c0", "File_Index", "rowid", "stored"])
def test_columns_may_have_the_names_that_the_engine_uses(name: str) -> None:
    types = {"other": "integer", name: "integer"}
    data = table(types, [(i, 10 - i) for i in range(5)])
    assert page(data, types, [f"{name}<9"], name)["data"] == [{"other": i, name: 10 - i} for i in (4, 3, 2)]


def test_the_sandboxed_child_answers_alike(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(table(TYPES, ROWS), tmp_path / "data.parquet")
    query = RowsQuery(parse_conditions(["n=3"], TYPES), parse_sort("-r", TYPES), ["r", "t"], 0, 1)
    asking = Asking(tmp_path, IngestLimits())
    found = find_rows(tmp_path / "data.parquet", entries(TYPES), query, asking)
    assert found == ([{"r": 0.1, "t": "2024-05-01T12:00:00Z"}], 2)
