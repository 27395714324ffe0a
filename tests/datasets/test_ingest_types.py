"""Columns get the type that all of their cells have, and nothing is lost on the way."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.datasets.reading import Table, parquet, read, refusal

BIG = 2**63


def column(*cells: str) -> Table:
    return read("x,n\n" + "".join(f"{cell},1\n" for cell in cells))


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", "+3"], "integer", [1, -2, 3]),
        (["1", "", "3"], "integer", [1, None, 3]),
        ([str(BIG - 1), str(-BIG)], "integer", [BIG - 1, -BIG]),
        ([" 1", "2 "], "integer", [1, 2]),
        (["3.0", "4.0"], "real", [3.0, 4.0]),
        (["1", "2.5", "1e3", ".5", "-5."], "real", [1.0, 2.5, 1000.0, 0.5, -5.0]),
        (["0", "-0.0", "0.1"], "real", [0.0, 0.0, 0.1]),
        ([str(BIG), "1"], "real", [float(BIG), 1.0]),
        (["1e2", "10e2", "7"], "real", [100.0, 1000.0, 7.0]),
        (["-0.5", "-12.25", "0"], "real", [-0.5, -12.25, 0.0]),
        (["9.75", "-9.75", "+5.5", " 12", "0.5 ", "9e3"], "real", [9.75, -9.75, 5.5, 12.0, 0.5, 9000.0]),
        (["-0", "+5", "9", "-9"], "integer", [0, 5, 9, -9]),
        (["true", "FALSE", "True"], "boolean", [True, False, True]),
        (["tRuE", " false"], "boolean", [True, False]),
        (["2024-02-29 10:30", "2024-02-29"], "datetime", ["2024-02-29T10:30:00Z", "2024-02-29T00:00:00Z"]),
        (
            ["2024-02-29T10:30:00Z", "2024-02-29T10:30:00+02"],
            "datetime",
            ["2024-02-29T10:30:00Z", "2024-02-29T08:30:00Z"],
        ),
        (
            ["2024-02-29", "2024-02-29T10:30:00Z"],
            "datetime",
            ["2024-02-29T00:00:00Z", "2024-02-29T10:30:00Z"],
        ),
        (
            ["2024-01-01 10:00:00", "2024-01-01 10:00:00.25"],
            "datetime",
            ["2024-01-01T10:00:00Z", "2024-01-01T10:00:00.250000Z"],
        ),
        (["2024-01-01 10:00:00.5+02:00"], "datetime", ["2024-01-01T08:00:00.500000Z"]),
        (["0001-01-01", "9999-12-31"], "datetime", ["0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"]),
    ],
)
def test_cells_make_a_type(cells: list[str], kind: str, values: list[object]) -> None:
    table = column(*cells)
    assert table.types["x"] == kind
    assert table.values("x") == values


@pytest.mark.parametrize(
    "cells",
    [
        ["01234", "99999"],
        ["007.5", "1.5"],
        ["-01.5", "1.5"],
        ["9_0.5", "1.5"],
        ["-9_0.5", "1.5"],
        ["٩.5", "1.5"],
        ["9;5", "1.5"],
        ["1e5x", "1.5"],
        ["0024-01-1", "2024-01-01"],
        ["02024-1-02", "2024-01-01"],
        ["2024-1-2 ", "2024-01-01"],
        ["NAN", "2024-01-01"],
        ["Na", "1"],
        ["1_000", "2"],
        ["1_000.5", "2.5"],
        ["0x1F", "1"],
        ["inf", "1"],
        ["1e999", "1"],
        ["-1e400", "1.5"],
        [str(BIG + 1), "1"],
        ["9007199254740993", "0.5"],
        ["1,5".replace(",", "٫"), "1"],
        ["１２", "1"],
        ["true", "1"],
        ["yes", "no"],
        ["2024-02-30", "2024-01-01"],
        ["2024-1-1", "2024-01-01"],
        ["0000-01-01", "2024-01-01"],
        ["9999-12-31T23:59:59-02:00", "2024-01-01"],
        ["24-01-01", "2024-01-01"],
        ["infinity", "2024-01-01"],
        ["2024-01-01 (BC)", "2024-01-01"],
        ["10000-01-01 00:00:00", "2024-01-01"],
        ["2024-01-01", "5"],
        ["-", "1"],
        ["1", "x"],
    ],
)
def test_cells_that_would_lose_something_stay_text(cells: list[str]) -> None:
    table = column(*cells)
    assert table.types["x"] == "category"
    assert table.values("x") == cells


@pytest.mark.parametrize(
    ("early", "late", "kind", "last"),
    [
        ("5", "x", "text", "x"),
        ("5", "1.5", "real", 1.5),
        ("true", "7", "category", "7"),
        ("", "7", "integer", 7),
        ("", "2024-01-01", "datetime", "2024-01-01T00:00:00Z"),
        ("2024-01-01", "soon", "category", "soon"),
    ],
)
def test_a_cell_behind_the_sample_still_counts(early: str, late: str, kind: str, last: object) -> None:
    cells = [str(i) if early == "5" else early for i in range(60_000)]
    table = column(*cells, late)
    assert table.types["x"] == ("identifier" if kind == "text" else kind)
    assert table.values("x")[-1] == last
    assert len(table.rows) == 60_001


@pytest.mark.parametrize(
    ("cell", "kind"), [("1", "integer"), ("1.5", "real"), ("true", "boolean"), ("2024-01-01", "datetime")]
)
def test_words_for_missing_values_fit_every_type(cell: str, kind: str) -> None:
    table = column(cell, "NA", "", '"null"', cell)
    assert table.types["x"] == kind
    assert [value is None for value in table.values("x")] == [False, True, True, True, False]


def test_a_column_of_missing_values_is_accepted_with_a_warning() -> None:
    table = read("a,b\n1,\n2,NA\n")
    assert (table.types["b"], table.columns["b"]["num_missing"]) == ("category", 2)
    assert table.warnings == ["all-missing"]


def test_stored_types_are_the_documented_ones() -> None:
    table = read("i,r,b,d,s\n1,1.5,true,2024-01-01,x\n")
    assert table.schema.types == [
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.timestamp("us", tz="UTC"),
        pa.string(),
    ]


@pytest.mark.parametrize(
    ("cells", "requested", "values"),
    [
        (["3.0", "007", ""], "integer", [3, 7, None]),
        (["1", "007.5"], "real", [1.0, 7.5]),
        (["yes", "N", "1"], "boolean", [True, False, True]),
        (["1", "2"], "category", ["1", "2"]),
        (["1", "2"], "text", ["1", "2"]),
        (["1", "2"], "identifier", ["1", "2"]),
        (["2024-01-01"], "datetime", ["2024-01-01T00:00:00Z"]),
    ],
)
def test_a_requested_type_overrides_the_inferred_one(cells: list[str], requested: str, values: list[object]) -> None:
    table = read("x,n\n" + "".join(f"{cell},1\n" for cell in cells), types={"x": requested})
    assert table.types["x"] == requested
    assert table.values("x") == values


def test_cells_that_do_not_have_the_requested_type_are_named() -> None:
    fault = refusal("x,n\n1,1\nabc,2\n\n3,3\n4.5,4\n", types={"x": "integer"})
    assert fault.errors == [
        {"pointer": "/columns/x", "detail": "row 2: 'abc' has no value as integer"},
        {"pointer": "/columns/x", "detail": "row 4: '4.5' has no value as integer"},
    ]


@pytest.mark.parametrize("types", [{"nope": "integer"}, {"x": "matrix"}])
def test_requests_that_make_no_sense_are_refused(types: dict[str, str]) -> None:
    (error,) = refusal("x\n1\n", types=types).errors
    assert error["pointer"] == f"/columns/{next(iter(types))}"


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "json", "parquet"])
def test_rows_keep_their_order_over_many_row_groups(file_format: str) -> None:
    numbers = range(300_000)
    objects = [f'{{"n":{n}}}' for n in numbers]
    content = {
        "csv": "n\n" + "\n".join(map(str, numbers)),
        "ndjson": "\n".join(objects),
        "json": "[" + ",".join(objects) + "]",
        "parquet": parquet(pa.table({"n": numbers}), row_group_size=20_000),
    }[file_format]
    assert read(content, file_format).values("n") == list(numbers)


def test_a_last_line_without_an_end_stays_last() -> None:
    content = '{"n":1,"b":true}\n{"n":2,"b":false}\n{"n":3}'
    for _ in range(30):
        assert read(content, "ndjson").values("n") == [1, 2, 3]


@pytest.mark.parametrize(
    ("plain", "odd"),
    [
        ("12", "007"),
        ("12", "1_000"),
        ("12", "0x10"),
        ("12", "１２"),
        ("1.5", "9_0.5"),
        ("1.5", "-9_0.5"),
        ("1.5", "-00.5"),
        ("1.5", "9007199254740993"),
        ("1.5", "1e999"),
        ("2024-01-02", "2024-1-2"),
        ("2024-01-02", "2024-01-2 "),
        ("2024-01-02", "02024-1-02"),
        ("2024-01-02", "2024/01/02"),
        ("2024-01-02", "-024-01-02"),
        ("2024-01-02 10:00:00", " 2024-1-02 10:00:00"),
        ("2024-01-02 10:00:00", "2024-01-02 10:00:5 "),
    ],
)
def test_the_quick_look_at_cells_behind_the_sample_is_as_strict(plain: str, odd: str) -> None:
    table = column(*[plain] * 10_000, odd)
    assert table.types["x"] == "category"
    assert table.values("x")[-1] == odd


@pytest.mark.parametrize(
    ("plain", "odd", "value"),
    [
        ("12", " 12", 12),
        ("12", "+5", 5),
        ("12", "-0", 0),
        ("1.5", "1e5", 100_000.0),
        ("1.5", "+5", 5.0),
        ("1.5", " 12 ", 12.0),
        ("1.5", "-.5", -0.5),
        ("1.5", "9.", 9.0),
        ("2024-01-02", "0024-01-01", "0024-01-01T00:00:00Z"),
        ("2024-01-02 10:00:00", "2024-01-02T10:00:00", "2024-01-02T10:00:00Z"),
    ],
)
def test_the_quick_look_at_cells_behind_the_sample_takes_no_more_for_text(plain: str, odd: str, value: object) -> None:
    table = column(*[plain] * 10_000, odd)
    assert table.types["x"] in ("integer", "real", "datetime")
    assert table.values("x")[-1] == value
