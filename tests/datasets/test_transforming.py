"""Transforming and erasing as the sandboxed child does it: same bytes for same steps, order kept, nothing leaked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.datasets.changing.transforming import erase, transform
from app.datasets.ingest import Ingested, IngestLimits, carry_out
from app.datasets.process import Work, run
from app.datasets.rows import read_rows
from app.errors import Invalid
from tests.datasets.reading import Table, read
from tests.datasets.stepping import SECRET, plain, transformed, work

PEOPLE = "who,age,city\n" + "".join(
    f"{name},{age},X\n" for name, age in [("ann", 20), ("bob", 31), ("eve", 40), ("", 50)]
)


@pytest.fixture(scope="module")
def large() -> Table:
    """More rows than a row group has, in an order of their own."""
    lines = (f"{number},{number % 7}.{number % 1000:03},u{number % 40_000}\n" for number in range(300_000))
    return read("n,x,who\n" + "".join(lines))


def made(table: Table, folder: Path, **order: Any) -> Ingested:
    parent = folder / "parent [x]*.parquet"
    parent.write_bytes(table.content)
    order = {"columns": table.answer["columns"], "secret": SECRET, **order}
    return carry_out(order, {"parent": parent}, folder=folder, limits=IngestLimits())


def test_the_same_steps_on_the_same_bytes_write_the_same_bytes(large: Table, tmp_path: Path) -> None:
    steps = plain(
        {"op": "clip", "columns": ["x"], "quantiles": [0.1, 0.9]},
        {"op": "pseudonymise", "columns": ["who"]},
        {"op": "suppress_rare", "columns": ["who"], "min_count": 8},
        {"op": "drop_duplicates", "columns": ["x", "who"]},
        {"op": "cast", "types": {"x": "text"}},
        {"op": "cast", "types": {"x": "real"}},
        {"op": "fill_missing", "columns": ["x"], "method": "mean"},
    )
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        contents.append(made(large, tmp_path / name, operation="transform", steps=steps).parquet.read_bytes())
    assert contents[0] == contents[1]


def test_rows_keep_their_order_through_joins_and_over_row_groups(large: Table, tmp_path: Path) -> None:
    steps = plain(
        {"op": "suppress_rare", "columns": ["who"], "min_count": 8},
        {"op": "drop_duplicates", "columns": ["who", "x"]},
        {"op": "drop_columns", "columns": ["x"]},
    )
    table = made(large, tmp_path, operation="transform", steps=steps)
    numbers = [row["n"] for row in read_rows(table.parquet, ["n"], offset=0, limit=10**6)]
    assert table.num_rows == len(numbers) > 131_072
    assert numbers == sorted(numbers)


def test_what_was_decided_for_a_column_stays_until_its_type_changes() -> None:
    table = read("a,b\n1,x\n2,y\n")
    columns = [entry | {"policies": {"missing": "reject"}} for entry in table.answer["columns"]]
    steps = plain({"op": "rename", "names": {"a": "z"}}, {"op": "cast", "types": {"b": "text"}})
    done = work(transform, table.content, columns, steps=steps)
    assert done.columns["z"]["policies"] == {"missing": "reject"}
    assert done.columns["b"]["policies"] != {"missing": "reject"}


def test_types_that_were_overridden_are_those_of_the_new_version() -> None:
    types = {"who": "identifier", "city": "text"}
    table = transformed(PEOPLE, {"op": "drop_missing"}, types=types)
    assert table.types == {"who": "identifier", "age": "integer", "city": "text"}


def test_erased_rows_are_gone_and_only_counts_are_told(tmp_path: Path) -> None:
    table = made(read(PEOPLE), tmp_path, operation="erase", column="who", values=["bob", "it's --"])
    assert table.details == {"erased": {"column": "who", "num_rows_before": 4, "num_rows_after": 3}}
    assert b"bob" not in table.parquet.read_bytes()
    assert "bob" not in json.dumps([table.columns, table.profile, table.details])


@pytest.mark.parametrize(
    ("csv", "column", "values", "left"),
    [
        (PEOPLE, "who", ["ann", "eve"], ["bob", None]),
        ("who\n7\n8\n9\n", "who", [7, "9"], [8]),
        ("who\n7.5\n8\n", "who", [7.5, 9], [8.0]),
        ("who\n2024-01-11\n2024-01-12\n", "who", ["2024-01-11T01:00:00+01:00"], ["2024-01-12T00:00:00Z"]),
        ("who\ntrue\nfalse\n", "who", [True], [False]),
    ],
)
def test_rows_are_erased_by_values_of_the_column_type(
    csv: str, column: str, values: list[Any], left: list[Any]
) -> None:
    table = read(csv)
    done = work(erase, table.content, table.answer["columns"], column=column, values=values)
    assert done.values("who") == left


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"column": "nope", "values": ["ann"]}, "/column"),
        ({"column": "age", "values": [20, "x31"]}, "/values/1"),
        ({"column": "age", "values": [20.5]}, "/values/0"),
        ({"column": "who", "values": ["nobody"]}, "/values"),
        ({"column": "city", "values": ["X"]}, "/values"),
    ],
)
def test_an_erasing_that_makes_no_sense_is_refused(asked: Mapping[str, Any], pointer: str) -> None:
    table = read(PEOPLE)
    with pytest.raises(Invalid) as caught:
        work(erase, table.content, table.answer["columns"], **asked)
    assert [error["pointer"] for error in caught.value.errors] == [pointer]
    assert not any(str(value) in str(caught.value.errors) for value in asked["values"])


def test_a_refusal_of_the_child_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        made(read(PEOPLE), tmp_path, operation="transform", steps=plain({"op": "cast", "types": {"who": "real"}}))
    assert caught.value.errors[0]["pointer"] == "/steps/0/types/who"


def test_anonymity_is_asked_of_the_child(tmp_path: Path) -> None:
    table = read(PEOPLE)
    (tmp_path / "parent").write_bytes(table.content)
    arguments = {"columns": table.answer["columns"], "quasi_identifiers": ["city"], "sensitive": "age"}
    found = run(Work("anonymity", arguments, {"parent": tmp_path / "parent"}), folder=tmp_path, limits=IngestLimits())
    assert (found["k"], found["diversity"]) == (4, 4)
