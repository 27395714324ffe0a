"""Malformed lines are left out on request: every one is counted and listed, and no other is lost with it."""

from __future__ import annotations

import pytest

from app.datasets.limits import MAX_LINE_BYTES
from app.datasets.reading.malformed import MAX_LISTED, MAX_SKIPPED
from tests.datasets.reading import Table, read, refusal


def skipping(text: str) -> Table:
    return read(text, on_bad_lines="skip")


def test_malformed_lines_are_left_out_and_listed() -> None:
    table = skipping('a,b\n1,2\n3\n\n4,5,6,7\n"x"y,1\n8,9\n"1",2\n5,5\n')
    assert table.rows == [{"a": 1, "b": 2}, {"a": 8, "b": 9}, {"a": 1, "b": 2}, {"a": 5, "b": 5}]
    assert table.answer["details"]["malformed_lines"] == {
        "count": 3,
        "lines": [
            {"line": 3, "detail": "has 1 fields where the header has 2"},
            {"line": 5, "detail": "has 4 fields where the header has 2"},
            {"line": 6, "detail": "has a quote that is not closed, or text after a closing quote"},
        ],
    }
    assert table.answer["profile"]["warnings"] == [
        {
            "column": None,
            "code": "malformed-lines",
            "detail": "3 malformed lines were left out, the first of them line 3.",
        }
    ]


def test_a_file_without_malformed_lines_says_so() -> None:
    table = skipping("a,b\n1,2\n")
    assert table.answer["details"]["malformed_lines"] == {"count": 0, "lines": []}
    assert (len(table.rows), table.warnings) == (1, [])


def test_a_line_that_is_too_long_is_left_out_alone() -> None:
    table = skipping("a,b\n1,2\n" + "x" * (MAX_LINE_BYTES + 1) + ",4\n5,6\n7,8\n")
    assert [row["a"] for row in table.rows] == [1, 5, 7]
    assert table.answer["details"]["malformed_lines"]["lines"][0]["line"] == 3


def test_at_most_a_hundred_lines_are_listed_and_all_are_counted() -> None:
    table = skipping("a,b\n" + "1\n2,3\n1,2,3,4\n4,5\n" * 20_000)
    found = table.answer["details"]["malformed_lines"]
    assert (found["count"], len(found["lines"]), len(table.rows)) == (40_000, MAX_LISTED, 40_000)
    assert [line["line"] for line in found["lines"]] == list(range(2, 202, 2))


def test_lines_behind_the_sample_and_a_wrong_guess_are_counted_once() -> None:
    text = "a,b\n1\n" + "1,2\n" * 60_000 + "1,2,3\n" + "x,2\n"
    table = skipping(text)
    assert [line["line"] for line in table.answer["details"]["malformed_lines"]["lines"]] == [2, 60_003]
    assert (len(table.rows), table.rows[-1]) == (60_001, {"a": "x", "b": 2})


@pytest.mark.parametrize(
    "end", ["5,6\n" * 10, "5,6\n" * 400_000, '"7",8\n' + "5,6\n" * 10, "x" * 20_000 + "\n5,6\n" * 9]
)
def test_a_quote_that_takes_other_lines_with_it_is_refused(end: str) -> None:
    fault = refusal("a,b\n" + "1,2\n" * 30 + '"3,4\n' + end, on_bad_lines="skip")
    assert fault.errors[0]["pointer"] == "/lines/32"
    assert "cannot be left out" in fault.detail


def test_more_malformed_lines_than_rows_are_refused() -> None:
    assert skipping("a,b\n1\n1,2\n").rows == [{"a": 1, "b": 2}]
    fault = refusal("a,b\n1\n1,2\n1\n", on_bad_lines="skip")
    assert "2 of 3 lines" in fault.detail
    assert [error["pointer"] for error in fault.errors] == ["/lines/2", "/lines/4"]


def test_too_many_malformed_lines_are_refused() -> None:
    fault = refusal("a,b\n" + "1\n2,3\n" * (MAX_SKIPPED + 1), on_bad_lines="skip")
    assert "100,000" in fault.detail
    assert len(fault.errors) == 20


def test_wide_tables_leave_the_same_lines_out_of_every_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.datasets.reading.typed_parquet.MAX_COLUMNS_AT_ONCE", 3)
    monkeypatch.setattr("app.datasets.reading.inference.MAX_COLUMNS_AT_ONCE", 3)
    table = skipping("a,b,c,d,e\n1,2,3,4,5\n1,2\n1,2,3,4\n6,7,8,9,0\n1,2,3,4,5,6\n5,4,3,2,1\n1,1,1,1,1\n")
    assert [tuple(row.values()) for row in table.rows] == [
        (1, 2, 3, 4, 5),
        (6, 7, 8, 9, 0),
        (5, 4, 3, 2, 1),
        (1, 1, 1, 1, 1),
    ]
    assert [line["line"] for line in table.answer["details"]["malformed_lines"]["lines"]] == [3, 4, 6]
