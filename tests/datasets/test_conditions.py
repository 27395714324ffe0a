"""Conditions say exactly what their text says, whatever the columns are called; what is wrong in them is named."""

from __future__ import annotations

import pytest

from app.datasets.asking.conditions import Condition, Ordering, parse_columns, parse_conditions, parse_sort
from app.errors import Invalid

COLUMNS = {
    "age": "integer",
    "age group": "category",
    "score": "real",
    "ok": "boolean",
    "at": "datetime",
    "name": "text",
    "a,b": "text",
    "-x": "real",
    "x": "real",
    "x>=": "integer",
    "in (": "text",
    '{"column"': "text",
}


@pytest.mark.parametrize(
    ("text", "column", "op", "value"),
    [
        ("age>=30", "age", ">=", 30),
        ("age >= 30", "age", ">=", 30),
        ("age>-1", "age", ">", -1),
        ("age<29.5", "age", "<", 29.5),
        ("age=9223372036854775808", "age", "=", 2**63),
        ("age=1e3", "age", "=", 1000.0),
        ("age<" + "9" * 40, "age", "<", 1e40),
        ("age group=30-39", "age group", "=", "30-39"),
        ("age group != a=b", "age group", "!=", "a=b"),
        ("score<=.5", "score", "<=", 0.5),
        ("score=2", "score", "=", 2.0),
        ("ok=TRUE", "ok", "=", True),
        ("ok!=false", "ok", "!=", False),
        ("at>=1970-01-02", "at", ">=", 86_400_000_000),
        ("at<1970-01-01T00:00:01.5+01:00", "at", "<", 1_500_000 - 3_600_000_000),
        ("at=1970-01-01t00:00:00z", "at", "=", 0),
        ("name contains o'b", "name", "contains", "o'b"),
        ("name starts_with =", "name", "starts_with", "="),
        ("name=", "name", "=", ""),
        ("name in (a|b c| d )", "name", "in", ["a", "b c", "d"]),
        ("name in(a)", "name", "in", ["a"]),
        ("age in (1|2)", "age", "in", [1, 2]),
        ("score missing", "score", "missing", None),
        ("ok present", "ok", "present", None),
        ("x>=3", "x", ">=", 3.0),
        ("x>==3", "x>=", "=", 3),
        ("a,b=c", "a,b", "=", "c"),
        ("in ( in (a|b)", "in (", "in", ["a", "b"]),
        ('{"column" contains }', '{"column"', "contains", "}"),
        ('{"column": "age", "op": "in", "value": [1, 2.5]}', "age", "in", [1, 2.5]),
        ('{"column": "name", "op": "=", "value": " padded "}', "name", "=", " padded "),
        ('{"column": "ok", "op": "missing"}', "ok", "missing", None),
    ],
)
def test_a_condition_is_what_its_text_says(text: str, column: str, op: str, value: object) -> None:
    assert parse_conditions([text], COLUMNS) == (Condition(column, COLUMNS[column], op, value),)


@pytest.mark.parametrize(
    ("written", "detail"),
    [
        ("size>3", "There is no column 'size'."),
        ("", "There is no column ''."),
        ("age~3", "There is no column 'age~3'."),
        ("age", "'age' has no operator that is known"),
        ("age missing 3", "'missing' takes no value."),
        ("age>=old", "Column 'age': 'old' is not a number"),
        ("age>=", "Column 'age': '' is not a number"),
        ("age=1_000", "Column 'age': '1_000' is not a number"),
        ("score=nan", "Column 'score': 'nan' is not a number"),
        ("score<1e999", "Column 'score': '1e999' is not a number"),
        ("age contains 3", "'contains' does not go with column 'age', whose type is integer."),
        ("ok>true", "'>' does not go with column 'ok', whose type is boolean."),
        ("ok=1", "Column 'ok': '1' is neither true nor false."),
        ("at>=yesterday", "Column 'at': 'yesterday' is not a date"),
        ("at>=2024-02-30", "Column 'at': '2024-02-30' is not a date"),
        ("at>=20240101", "Column 'at': '20240101' is not a date"),
        ("age in 3", "'in' takes a list of 1 to 1,000 values"),
        ("name=a\0b", "Column 'name': a text holds characters that no cell can hold."),
        ("name=" + "x" * 10_001, "Column 'name': a value has at most 10,000 characters."),
        ('{"column": "age", "op": "like", "value": 3}', "There is no operator 'like'; they are !="),
        ('{"column": "age"}', "A condition has the members column and op"),
        ('{"column": "age", "op": "=", "value": true}', "Column 'age': 'True' is not a number"),
        ('{"column": "age", "op": "=", "value": null}', "Column 'age': 'None' is not a number"),
        ('{"column": "age", "op": "in", "value": []}', "'in' takes a list of 1 to 1,000 values"),
        ('{"column": "age", "op": "present", "value": 3}', "'present' takes no value."),
        ('{"column": "age", "op": "=", "value": 3, "or": 4}', "A condition has no member 'or'."),
        ('{"column": "name", "op": "=", "value": "\\ud800"}', "Column 'name': a text holds characters"),
        (3, "A condition is a text such as age>=30"),
    ],
)
def test_what_is_wrong_in_a_condition_is_named(written: object, detail: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_conditions([written], COLUMNS)
    assert refused.value.detail.startswith(detail)
    assert refused.value.errors == [{"pointer": "query:filter", "detail": refused.value.detail}]


def test_too_many_conditions_are_refused() -> None:
    with pytest.raises(Invalid, match="at most 50"):
        parse_conditions(["age>1"] * 51, COLUMNS)


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        (None, ()),
        ("", ()),
        ("age", (Ordering("age"),)),
        ("-age,name", (Ordering("age", descending=True), Ordering("name"))),
        ("a,b,age", (Ordering("a,b"), Ordering("age"))),
        ("-x", (Ordering("-x"),)),
        ("--x,x", (Ordering("-x", descending=True), Ordering("x"))),
        ('["-age", "a,b"]', (Ordering("age", descending=True), Ordering("a,b"))),
    ],
)
def test_an_order_names_columns_and_directions(text: str | None, orders: tuple[Ordering, ...]) -> None:
    assert parse_sort(text, COLUMNS) == orders


@pytest.mark.parametrize(
    ("text", "detail"),
    [("size", "There is no column 'size'."), ("age,-age", "Column 'age' is named twice."), ("[3]", "There is no")],
)
def test_what_is_wrong_in_an_order_is_named(text: str, detail: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_sort(text, COLUMNS)
    assert refused.value.detail.startswith(detail)
    assert refused.value.errors[0]["pointer"] == "query:sort"


def test_columns_are_chosen_by_name() -> None:
    assert parse_columns("a,b,age", COLUMNS) == ("a,b", "age")
    assert parse_columns(None, COLUMNS) == tuple(COLUMNS)
    with pytest.raises(Invalid, match="no column 'size'"):
        parse_columns("age,size", COLUMNS)
    with pytest.raises(Invalid, match="named twice"):
        parse_columns("age,age", COLUMNS)
