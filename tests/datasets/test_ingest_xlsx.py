"""An Excel sheet is read as CSV of the same cells would be, and what it cannot say is told in warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.datasets.ingest import IngestLimits, ingest
from app.errors import Invalid, TooLarge, UnsupportedMedia
from tests.datasets.reading import read, refusal
from tests.datasets.workbooks import (
    Row,
    archive,
    boolean,
    date,
    error,
    formula,
    number,
    sheet,
    span,
    styled,
    text,
    workbook,
)

SMALL = workbook({"Data": [["a", "b"], [1, "x"], [2, "y"]]})


def warning(table_warnings: list[dict[str, str]], code: str) -> str:
    (found,) = (warning["detail"] for warning in table_warnings if warning["code"] == code)
    return found


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ([number("1"), number("2.0"), number("3E0")], "integer", [1, 2, 3]),
        ([number("1"), number("2.5")], "real", [1.0, 2.5]),
        ([number("1e22"), number("0.1")], "real", [1e22, 0.1]),
        ([boolean(True), boolean(False)], "boolean", [True, False]),
        ([date(45000), date(45000.25)], "datetime", ["2023-03-15T00:00:00Z", "2023-03-15T06:00:00Z"]),
        ([span(1.5)], "category", ["36:00:00"]),
        ([text("5"), number(6)], "integer", [5, 6]),
        ([text("007"), number(6)], "category", ["007", "6"]),
        ([text("NA"), number(6)], "integer", [None, 6]),
        ([formula("A1+1", 5), formula("A2", "x")], "category", ["5", "x"]),
        ([text("=1+1"), text("ä😀")], "category", ["=1+1", "ä😀"]),
    ],
)
def test_cells_have_the_type_that_csv_would_give_them(cells: Row, kind: str, values: list[object]) -> None:
    table = read(workbook({"Data": [["x", "n"], *([cell, 1] for cell in cells)]}), "")
    assert (table.types["x"], table.values("x")) == (kind, values)
    assert table.answer["details"] == {"sheet": "Data", "has_header": True}


def test_errors_and_formulas_without_a_value_are_missing_and_counted() -> None:
    rows: list[Row] = [["a", "b"], [error("#N/A"), 1], [error("#DIV/0!"), formula("1/0")], [formula("A1"), 2], [4, 3]]
    table = read(workbook({"Data": rows}), "")
    assert table.rows == [{"a": None, "b": 1}, {"a": None, "b": 2}, {"a": 4, "b": 3}]
    warnings = table.answer["profile"]["warnings"]
    assert warning(warnings, "error-cells").startswith("2 cells")
    assert warning(warnings, "formulas-without-value").startswith("2 formulas")


def test_blank_rows_and_columns_around_the_table_do_not_matter() -> None:
    rows: list[Row] = [
        [None],
        [None, "a", "b", styled()],
        [None],
        [None, 1, "x"],
        [styled()],
        [None, 2, "y"],
        [styled()] * 9,
    ]
    assert read(workbook({"Data": rows}), "").rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_the_first_sheet_is_read_and_the_others_are_named() -> None:
    book = workbook({"First": [["a"], [1]], "Zweite ä": [["b"], [2]]})
    table = read(book, "")
    assert table.rows == [{"a": 1}]
    assert "'Zweite ä'" in warning(table.answer["profile"]["warnings"], "other-sheets")
    assert read(book, "", sheet="Zweite ä").rows == [{"b": 2}]
    fault = refusal(book, "xlsx", sheet="Third")
    assert (fault.errors[0]["pointer"], "'First', 'Zweite ä'" in fault.detail) == ("query:sheet", True)


def test_merged_cells_are_told() -> None:
    merged = sheet([["a", "b"], [1, None], [None, None]], '<mergeCells count="1"><mergeCell ref="A2:B3"/></mergeCells>')
    table = read(workbook({"Data": merged}), "")
    assert table.rows == [{"a": 1, "b": None}]
    assert "1 merged area" in warning(table.answer["profile"]["warnings"], "merged-cells")


def test_columns_without_a_header_are_numbered() -> None:
    table = read(workbook({"Data": [[1, "x"], [2, "y"]]}), "", header=False)
    assert table.rows == [{"column_1": 1, "column_2": "x"}, {"column_1": 2, "column_2": "y"}]


def test_more_words_may_mean_missing() -> None:
    table = read(workbook({"Data": [["a"], [-999], [1]]}), "", missing_values=["-999"])
    assert table.values("a") == [None, 1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive({"arr_0.npy": b"x"}), "send each array as .npy"),
        (archive({"word/document.xml": b"x"}), "Word document"),
        (archive({"content.xml": b"x"}), "OpenDocument"),
        (archive({"xl/workbook.bin": b"x"}), ".xlsb"),
        (workbook({"A": [["a"], [1]]}, {"xl/vbaProject.bin": b"x"}), ".xlsm"),
        (archive({"model/data.pkl": b"x"}), "a pickle"),
        (archive({"a.csv": b"a\n1\n"}), "unpack it"),
    ],
    ids=["npz", "docx", "ods", "xlsb", "xlsm", "torch", "zip"],
)
def test_other_archives_are_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(UnsupportedMedia, match=said):
        read(content, "")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "is empty"),
        ([["a", "b"]], "no rows"),
        ([["a", "a"], [1, 2]], "repeats"),
        ([["a", None], [1, 2]], "column 2 has no name"),
        ([["a"], [text("x_x0000_y")]], "NUL character"),
    ],
)
def test_sheets_that_are_no_table_are_refused(rows: list[Row], said: str) -> None:
    assert said in refusal(workbook({"Data": rows}), "xlsx").detail


def test_a_workbook_cut_anywhere_is_refused() -> None:
    for length in range(4, len(SMALL), 97):
        assert "damaged" in refusal(SMALL[:length], "xlsx").detail


def test_a_damaged_workbook_is_refused_or_read() -> None:
    for place in range(30, len(SMALL), 61):
        damaged = bytearray(SMALL)
        damaged[place] ^= 0x55
        try:
            read(bytes(damaged), "xlsx")
        except (Invalid, UnsupportedMedia):
            continue


def test_a_workbook_that_unpacks_to_gigabytes_is_too_large() -> None:
    bomb = workbook({"Data": sheet([["a"], [1]], " " * 30_000_000)})
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="unpacks to over 10,485,760 bytes"):
        read(bomb, "", limits=IngestLimits(decoded_bytes=10 << 20))


def test_two_cells_far_apart_do_not_take_the_memory_between_them(tmp_path: Path) -> None:
    far = sheet([["a"]]).replace("</sheetData>", '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>')
    source = tmp_path / "far.xlsx"
    source.write_bytes(workbook({"Data": far}))
    with pytest.raises((TooLarge, Invalid), match=r"memory|cells|columns"):
        ingest(source, format="xlsx", folder=tmp_path, limits=IngestLimits())
