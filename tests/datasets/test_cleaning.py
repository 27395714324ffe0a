"""Cleaning steps do what they say, tell how much they did, and refuse what does not fit, naming the step."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.changing import step_table
from tests.datasets.stepping import refused, transformed

ANN = "ann,20,1.5,2024-01-11T10:00:00Z,true\n"
CSV = f"name,age,pay,born,ok\n{ANN}bob,31,2.5,2024-02-29,false\n,,,,\n{ANN}"
CELL = st.sampled_from(["", "a", "b", "1", "2"])


def test_columns_are_dropped_kept_and_renamed_without_touching_rows() -> None:
    table = transformed(
        CSV,
        {"op": "drop_columns", "columns": ["ok"]},
        {"op": "rename", "names": {"name": "AGE", "age": "name"}},
        {"op": "keep_columns", "columns": ["pay", "AGE"]},
    )
    assert table.schema.names == ["AGE", "pay"]
    assert table.values("AGE") == ["ann", "bob", None, "ann"]
    assert [step["num_rows_after"] for step in table.answer["details"]["steps"]] == [4, 4, 4]


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12), by=st.sampled_from([None, ["a"], ["c", "b"]])
)
def test_of_equal_rows_the_first_stays(rows: list[tuple[str, str, str]], by: list[str] | None) -> None:
    csv = "a,b,c,n\n" + "".join(f"{','.join(row)},{number}\n" for number, row in enumerate(rows))
    types = dict.fromkeys("abc", "text")
    table = transformed(csv, {"op": "drop_duplicates", "columns": by or ["a", "b", "c"]}, types=types)
    firsts: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows):
        firsts.setdefault(tuple(row["abc".index(name)] for name in by or "abc"), number)
    assert table.values("n") == sorted(firsts.values())


def test_rows_with_missing_values_are_dropped() -> None:
    csv = "a,b,n\n1,,1\n,,2\n1,1,3\n"
    assert transformed(csv, {"op": "drop_missing"}).values("n") == [3]
    assert transformed(csv, {"op": "drop_missing", "columns": ["a"]}).values("n") == [1, 3]
    assert transformed(csv, {"op": "drop_missing", "columns": ["a", "b"], "how": "all"}).values("n") == [1, 3]


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (["age>=31"], ["bob"]),
        ([{"column": "name", "op": "in", "value": ["bob", "it's"]}, "ok=false"], ["bob"]),
        (["name present", "born<2024-02-01"], ["ann", "ann"]),
        (["name missing"], [None]),
    ],
)
def test_a_filter_keeps_the_rows_that_satisfy_every_condition(conditions: list[Any], names: list[Any]) -> None:
    assert transformed(CSV, {"op": "filter", "conditions": conditions}).values("name") == names


@pytest.mark.parametrize(
    ("column", "method", "filled"),
    [
        ("age", "mean", 24),
        ("age", "median", 20),
        ("age", "most_frequent", 20),
        ("pay", "mean", 11 / 6),
        ("pay", "median", 1.5),
        ("born", "median", "2024-01-11T10:00:00Z"),
        ("born", "mean", "2024-01-27T14:40:00Z"),
        ("name", "most_frequent", "ann"),
        ("ok", "most_frequent", True),
    ],
)
def test_missing_values_are_filled_from_the_column(column: str, method: str, filled: Any) -> None:
    table = transformed(CSV, {"op": "fill_missing", "columns": [column], "method": method})
    assert table.values(column)[2] == pytest.approx(filled)
    assert table.columns[column]["num_missing"] == 0
    (told,) = table.answer["details"]["steps"]
    assert told["num_cells_changed"] == 1
    assert "ann" not in str(told)


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("age", -(2**63), -(2**63)),
        ("pay", 7, 7.0),
        ("pay", 0.1, 0.1),
        ("born", "2020-01-01T12:00:00+02:00", "2020-01-01T10:00:00Z"),
        ("name", "it's; --", "it's; --"),
        ("ok", False, False),
    ],
)
def test_missing_values_are_filled_with_a_constant(column: str, value: Any, stored: Any) -> None:
    step = {"op": "fill_missing", "columns": [column], "method": "constant", "fill_value": value}
    assert transformed(CSV, step).values(column)[2] == stored


def test_casts_read_cells_as_if_they_were_sent_as_text() -> None:
    csv = "a,b,c,d\n1,7.0,true,2024-01-11\n0,2.5,false,2024-01-11T10:00:00.25Z\n"
    types = {"a": "boolean", "b": "text", "c": "integer", "d": "category"}
    table = transformed(csv, {"op": "cast", "types": types}, {"op": "rename", "names": {"a": "z"}})
    assert table.types == {"z": "boolean", "b": "text", "c": "integer", "d": "category"}
    assert list(table.rows[0].values()) == [True, "7", 1, "2024-01-11T00:00:00Z"]
    assert list(table.rows[1].values()) == [False, "2.5", 0, "2024-01-11T10:00:00.250000Z"]


def test_a_cast_rejects_what_does_not_fit_or_makes_it_missing() -> None:
    csv = "a,n\n" + "".join(f"{cell},1\n" for cell in ("1", "x17", "", "3.5"))
    cast = {"op": "cast", "types": {"a": "integer"}}
    fault = refused(csv, {"op": "drop_missing", "columns": ["n"]}, cast)
    assert [error["detail"] for error in fault.errors] == [
        "row 2 has no value as integer",
        "row 4 has no value as integer",
    ]
    assert {error["pointer"] for error in fault.errors} == {"/steps/1/types/a"}
    assert fault.detail == "Step 2: row 2 of column 'a' has no value as integer."
    table = transformed(csv, cast | {"on_error": "missing"})
    assert table.values("a") == [1, None, None, None]
    assert table.answer["details"]["steps"][0]["columns"] == {"a": {"num_cells_changed": 3, "num_cells_lost": 2}}


@pytest.mark.parametrize(
    ("bounds", "values"),
    [
        ({"low": 2.5}, [3, 3, 3, 4, 100]),
        ({"low": 2, "high": 4.5}, [2, 2, 3, 4, 4]),
        ({"high": 1e30}, [1, 2, 3, 4, 100]),
        ({"quantiles": [0.2, 0.8]}, [1, 2, 3, 4, 4]),
        ({"iqr": 1.5}, [1, 2, 3, 4, 7]),
    ],
)
def test_outliers_are_brought_to_the_nearest_bound(bounds: dict[str, Any], values: list[int]) -> None:
    csv = "x,r,n\n" + "".join(f"{x},{x}.5,1\n" for x in (1, 2, 3, 4, 100)) + ",,1\n"
    table = transformed(csv, {"op": "clip", "columns": ["x"], **bounds})
    assert table.values("x") == [*values, None]
    assert table.types["x"] == "integer"
    assert table.values("r")[-2] == 100.5


def test_steps_on_one_column_build_on_each_other_however_many() -> None:
    csv = "n,gone,x,y\n1,1,1,a\n2,2,99,b\n3,3,50,a\n"
    clips = [{"op": "clip", "columns": ["x"], "low": low} for low in range(step_table.MAX_DEPTH + 2)]
    casts = [{"op": "cast", "types": {"x": kind}} for kind in ("text", "integer")] * step_table.MAX_DEPTH
    rare = {"op": "suppress_rare", "columns": ["y"], "min_count": 2}
    drop = {"op": "drop_columns", "columns": ["gone"]}
    table = transformed(
        csv, rare, drop, *clips, *casts, {"op": "rename", "names": {"n": "m"}}, {"op": "drop_duplicates"}
    )
    assert [list(row.values()) for row in table.rows] == [[1, len(clips) - 1, "a"], [2, 99, "other"], [3, 50, "a"]]


@pytest.mark.parametrize(
    ("step", "where"),
    [
        ({"op": "drop_columns", "columns": ["age", "nope"]}, "/columns/1"),
        ({"op": "drop_columns", "columns": ["name", "age", "pay", "born", "ok"]}, "/columns"),
        ({"op": "rename", "names": {"a/b": "c"}}, "/names/a~1b"),
        ({"op": "rename", "names": {"age": "NAME"}}, "/names/age"),
        ({"op": "rename", "names": {"age": "x", "pay": "X"}}, "/names/pay"),
        ({"op": "drop_duplicates", "columns": ["nope"]}, "/columns/0"),
        ({"op": "filter", "conditions": ["age>1", "nope>1"]}, "/conditions/1"),
        ({"op": "filter", "conditions": [{"column": "ok", "op": "<", "value": True}]}, "/conditions/0"),
        ({"op": "fill_missing", "columns": ["name"], "method": "mean"}, "/columns/0"),
        ({"op": "fill_missing", "columns": ["age"], "method": "constant", "fill_value": 1.5}, "/fill_value"),
        ({"op": "fill_missing", "columns": ["pay"], "method": "constant", "fill_value": 10**400}, "/fill_value"),
        ({"op": "fill_missing", "columns": ["ok"], "method": "constant", "fill_value": 1}, "/fill_value"),
        ({"op": "fill_missing", "columns": ["born"], "method": "constant", "fill_value": "soon"}, "/fill_value"),
        ({"op": "fill_missing", "columns": ["name"], "method": "constant", "fill_value": "\0"}, "/fill_value"),
        ({"op": "cast", "types": {"nope": "text"}}, "/types/nope"),
        ({"op": "clip", "columns": ["born"], "low": 1}, "/columns/0"),
        ({"op": "clip", "columns": ["age"], "low": 1.2, "high": 1.8}, "/low"),
        ({"op": "generalise", "columns": ["name"], "width": 10}, "/columns/0"),
        ({"op": "generalise", "columns": ["age"], "width": 2.5}, "/width"),
        ({"op": "generalise", "columns": ["age"], "edges": [1, 2.5]}, "/edges"),
        ({"op": "generalise", "columns": ["age"], "to": "month"}, "/columns/0"),
        ({"op": "generalise", "columns": ["age"], "characters": 2}, "/columns/0"),
        ({"op": "suppress_rare", "columns": ["age"], "min_count": 2}, "/columns/0"),
    ],
)
def test_a_step_that_does_not_fit_the_columns_is_named(step: dict[str, Any], where: str) -> None:
    fault = refused(CSV, {"op": "drop_missing", "how": "all"}, step)
    assert [error["pointer"] for error in fault.errors] == ["/steps/1" + where]
    assert fault.detail.startswith("Step 2: ")


def test_a_step_is_checked_against_what_earlier_steps_left() -> None:
    fault = refused(CSV, {"op": "rename", "names": {"age": "years"}}, {"op": "drop_missing", "columns": ["age"]})
    assert fault.errors == [{"pointer": "/steps/1/columns/0", "detail": "there is no column 'age'"}]


@pytest.mark.parametrize(
    ("csv", "step", "where"),
    [
        ("a,n\n,1\n,2\n", {"op": "drop_missing"}, "/steps/0"),
        ("a,n\n,1\n", {"op": "fill_missing", "columns": ["n", "a"], "method": "most_frequent"}, "/steps/0/columns/1"),
        (
            "a,n\n1e308,1\n1e308,1\n,2\n",
            {"op": "fill_missing", "columns": ["a"], "method": "mean"},
            "/steps/0/columns/0",
        ),
    ],
)
def test_what_only_the_rows_can_tell_is_refused_too(csv: str, step: dict[str, Any], where: str) -> None:
    assert [error["pointer"] for error in refused(csv, step).errors] == [where]
