"""CSV and TSV of every common dialect are read; broken ones are refused with the numbers of their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.datasets.limits import MAX_LINE_BYTES
from app.datasets.reading import delimited
from app.datasets.reading.scan_units import UNIT_BYTES, num_rows_per_unit
from app.errors import Invalid, TooLarge
from tests.datasets.reading import read, refusal


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,x\n2,y\n", ","),
        ("a;b\n1;x\n2;y\n", ";"),
        ("a\tb\n1\tx\n2\ty\n", "\t"),
        ("a|b\n1|x\n2|y\n", "|"),
        ("a,b\r\n1,x\r\n2,y\r\n", ","),
        ("a,b\r1,x\r2,y\r", ","),
        ("a,b\n1,x\n2,y", ","),
        ("a,b\n1,x\n\n2,y\n\n", ","),
        ('"a","b"\n"1","x"\n"2","y"\n', ","),
    ],
)
def test_common_dialects_read_alike(text: str, delimiter: str) -> None:
    table = read(text)
    assert table.rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert table.answer["details"] == {"delimiter": delimiter, "encoding": "utf-8", "has_header": True}


def test_commas_inside_numbers_do_not_make_a_delimiter() -> None:
    assert read("price;n\n1,5;2\n2,5;3\n").answer["details"]["delimiter"] == ";"


def test_tsv_is_split_at_tabs_only() -> None:
    assert read("a,b\tc\n1,2\t3\n", "tsv").rows == [{"a,b": "1,2", "c": 3}]


def test_quoted_cells_may_hold_anything() -> None:
    table = read('"na,me","te\nxt"\n"x,y","say ""hi""\nthere"\n')
    assert table.rows == [{"na,me": "x,y", "te\nxt": 'say "hi"\nthere'}]


@pytest.mark.parametrize(
    ("codec", "reported"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),
    ],
)
def test_encodings_are_detected_and_reported(codec: str, reported: str) -> None:
    table = read("größe,n\nÜber,1\n".encode(codec))
    assert table.rows == [{"größe": "Über", "n": 1}]
    assert table.answer["details"]["encoding"] == reported
    assert ("encoding-guessed" in table.warnings) == (reported == "cp1252")


@pytest.mark.parametrize(
    ("last", "encoding"), [(b"z", "utf-8"), ("ü".encode(), "utf-8"), (b"\xfc", "cp1252"), (b"\0", None)]
)
def test_two_threads_find_the_same_encoding(
    last: bytes, encoding: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(delimited, "MIN_BYTES_FOR_THREADS", 0)
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 7)
    path = tmp_path / "text"
    path.write_bytes(b"a,b\n" * 1_000 + last)
    if encoding is None:
        with pytest.raises(Invalid, match="NUL"):
            delimited.detect_encoding(path)
    else:
        assert delimited.detect_encoding(path) == encoding


def test_bytes_without_a_meaning_in_windows_1252_are_latin_1() -> None:
    assert read(b"a,b\n\xe9\x81,1\n").answer["details"]["encoding"] == "latin-1"


@pytest.mark.parametrize("word", ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", '""'])
def test_words_for_missing_values_are_missing(word: str) -> None:
    table = read(f"a,b,c\n{word},{word},1\n5,x,2\n")
    assert table.rows[0] == {"a": None, "b": None, "c": 1}
    assert table.types["a"] == "integer"
    assert table.columns["a"]["num_missing"] == 1


def test_names_are_kept_as_given() -> None:
    names = ["имя", " padded ", "年龄", "semi;colon", "0", "select", "a.b/c~d", "it's", "{x}", "😀"]
    table = read(",".join(names) + "\n" + ",".join("123456789x") + "\n")
    assert list(table.rows[0]) == names


@pytest.mark.parametrize(
    ("text", "pointer", "said"),
    [
        ("a,b\n1,2\n3\n4,5\n", "/lines/3", "has 1 fields where the header has 2"),
        ("a,b\n1,2\n3,4,5\n", "/lines/3", "has 3 fields where the header has 2"),
        ('a,b\n"x\ny",2\n3\n', "/lines/4", "has 1 fields"),
        ('a,b\n1,2\n"3,4\n', "/lines/3", "quote"),
        ('a,b\n1,2\n"3"x,4\n', "/lines/3", "quote"),
        ("a,b\n1,2\n" + "x" * (MAX_LINE_BYTES + 1) + ",4\n", "/lines/3", "longer than"),
        ("", None, "empty"),
        ("\n\n", "/lines/1", "header"),
        ("a,b", None, "no rows"),
        ("a,b\n", None, "no rows"),
        ("1.5,-2\n1,2\n", "/lines/1", "holds numbers"),
        ("a,a\n1,2\n", "/columns/a", "repeats the name 'a'"),
        ("Age,age\n1,2\n", "/columns/age", "only in case"),
        (",b\n1,2\n", "/columns/1", "no name"),
        ("x" * 600 + ",b\n1,2\n", "/columns/1", "600 characters"),
        ("a,b\n1,\x002\n", None, "NUL"),
    ],
)
def test_broken_files_are_refused_where_they_break(text: str, pointer: str | None, said: str) -> None:
    fault = refusal(text)
    assert fault.code == "dataset-invalid"
    assert said in fault.detail
    assert [error["pointer"] for error in fault.errors][:1] == ([pointer] if pointer else [])
    assert len(fault.detail) < 250


def test_at_most_twenty_bad_lines_are_listed() -> None:
    fault = refusal("a,b\n" + "1\n" * 50)
    assert [error["pointer"] for error in fault.errors] == [f"/lines/{n}" for n in range(2, 22)]


def test_a_bad_line_far_down_keeps_its_number() -> None:
    text = "a,b\n" + "1,2\n" * 200_000 + "1,2,3\n"
    assert refusal(text).errors[0]["pointer"] == "/lines/200002"


def test_text_that_is_cut_in_mid_character_is_not_utf_16() -> None:
    assert "utf-16" in refusal("a,b\n1,2\n".encode("utf-16")[:-1]).detail


def test_too_many_columns_are_too_large() -> None:
    with pytest.raises(TooLarge, match="200,000 columns"):
        read(",".join(f"c{i}" for i in range(200_000)) + "\n")


def test_an_image_is_not_a_table() -> None:
    with pytest.raises(Invalid, match="NUL"):
        read(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


def test_a_line_with_many_fields_too_many_is_listed_once_with_all_of_them() -> None:
    fault = refusal("a,b\n1,2,3,4,5\n1,2\n1\n")
    assert [(error["pointer"], error["detail"][:12]) for error in fault.errors] == [
        ("/lines/2", "has 5 fields"),
        ("/lines/4", "has 1 fields"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them_and_with_empty_ones(end: str) -> None:
    fault = refusal(end.join(["a,b", "1,2", "", "", "3", "4,5", ""]))
    assert [error["pointer"] for error in fault.errors] == ["/lines/5"]


def test_row_groups_of_a_large_file_follow_the_units_of_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a,b\n" + b"".join(b"%d,some words\n" % (10**i) for i in range(20)) * 60_000)
    units, found = UNIT_BYTES / path.stat().st_size, num_rows_per_unit(path)
    assert found == pytest.approx(60_000 * 20 * units, rel=0.01)
    path.write_bytes(b"a,b\n")
    assert num_rows_per_unit(path) is None
