"""What a caller says of how a file is written is taken at its word, checked, and nothing else is taken."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from app.datasets.options import ReadOptions, read_options
from app.datasets.reading.casts import TYPES
from app.datasets.reading.malformed import MAX_LISTED
from app.datasets.reading.source import Dialect
from app.errors import Invalid
from tests.datasets.reading import read, refusal


def test_the_child_has_the_same_defaults() -> None:
    said = ReadOptions().model_dump(exclude={"types"})
    assert asdict(Dialect(**said)) == said == asdict(Dialect()) | {"missing_values": []}


def test_every_type_of_a_column_can_be_named() -> None:
    types = {kind: kind for kind in TYPES}
    assert read_options({"types": json.dumps(types)}, pointer="x").types == types


def test_options_are_read_from_text() -> None:
    options = read_options(
        {"delimiter": "tab", "header": "false", "missing_values": '["-", "?"]', "types": '{"a": "text"}', "mood": "x"},
        pointer="x",
    )
    assert options == ReadOptions(delimiter="\t", header=False, missing_values=["-", "?"], types={"a": "text"})
    assert read_options({"missing_values": "-"}, pointer="x") == read_options({"missing_values": '["-"]'}, pointer="x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delimiter", ";;"),
        ("delimiter", '"'),
        ("delimiter", "\n"),
        ("delimiter", ""),
        ("encoding", "utf-7"),
        ("header", "maybe"),
        ("on_bad_lines", "ignore"),
        ("missing_values", json.dumps(["x"] * 101)),
        ("missing_values", "x" * 65),
        ("missing_values", "[1]"),
        ("missing_values", "["),
        ("missing_values", "[" * 100_000),
        ("types", '{"a": "matrix"}'),
        ("types", '["a"]'),
        ("types", "a=integer"),
        ("sheet", "x" * 65),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_options({name: value}, pointer="x")
    assert [error["pointer"] for error in caught.value.errors] == ["x"]
    assert caught.value.errors[0]["detail"].startswith(f"{name}: ")


def test_a_delimiter_is_taken_at_its_word() -> None:
    assert read("a,b;c\n1,2;3\n", delimiter=";").rows == [{"a,b": "1,2", "c": 3}]
    assert read("a\x01b\n1\x012\n", delimiter="\x01").rows == [{"a": 1, "b": 2}]


def test_an_encoding_is_taken_at_its_word() -> None:
    table = read("näme\n€\n".encode("cp1252"), encoding="cp1252")
    assert (table.rows, table.warnings) == ([{"näme": "€"}], [])
    assert read("a\né\n".encode("latin-1"), encoding="latin-1").values("a") == ["é"]
    assert read("a\nx\n".encode("utf-16-le"), encoding="utf-16").values("a") == ["x"]
    assert "not valid utf-8" in refusal("a\né\n".encode("latin-1"), encoding="utf-8").detail


def test_without_a_header_columns_are_numbered() -> None:
    table = read("1,x\n2,y\n", header=False)
    assert table.rows == [{"column_1": 1, "column_2": "x"}, {"column_1": 2, "column_2": "y"}]
    assert table.answer["details"]["has_header"] is False


@pytest.mark.parametrize(
    ("content", "file_format"),
    [("a,b\n1,x\n-999,?\n", "csv"), ('{"a":1,"b":"x"}\n{"a":-999,"b":"?"}', "ndjson")],
)
def test_more_words_may_mean_missing(content: str, file_format: str) -> None:
    table = read(content, file_format, missing_values=["-999", "?", "it's | (odd)"])
    assert table.rows == [{"a": 1, "b": "x"}, {"a": None, "b": None}]
    assert table.types == {"a": "integer", "b": "category"}


def test_malformed_json_lines_can_be_left_out_and_are_listed() -> None:
    lines = [
        '{"a":1}',
        "{",
        '{"a":[1],"new":2}',
        "",
        '{"a":2}',
        "[3]",
        '{"a":1,"a":2}',
        '{"a":"\\u0000"}',
        '{"a":3}',
        '{"a":4}',
        '{"a":5}',
    ]
    table = read("\n".join(lines), "ndjson", on_bad_lines="skip")
    assert table.rows == [{"a": number} for number in (1, 2, 3, 4, 5)]
    found = table.answer["details"]["malformed_lines"]
    assert (found["count"], [item["line"] for item in found["lines"]]) == (5, [2, 3, 6, 7, 8])
    assert found["lines"][1]["detail"] == "has a nested value in column 'a'; rows must be flat"
    assert "malformed-lines" in table.warnings


def test_a_json_line_that_is_too_long_can_be_left_out() -> None:
    table = read(b'{"a":1}\n{"a":"' + b"x" * (9 << 20) + b'"}\n{"a":2}', "ndjson", on_bad_lines="skip")
    assert table.values("a") == [1, 2]
    assert [item["line"] for item in table.answer["details"]["malformed_lines"]["lines"]] == [2]


def test_a_list_of_malformed_lines_is_bounded() -> None:
    table = read('{"a":1}\nx\n' * 500, "ndjson", on_bad_lines="skip")
    found = table.answer["details"]["malformed_lines"]
    assert (found["count"], len(found["lines"])) == (500, MAX_LISTED)


@pytest.mark.parametrize("text", ["x\n" * 200_000, '{"a":1}\nx\ny\n', "x"])
def test_a_file_of_mostly_malformed_lines_is_refused(text: str) -> None:
    fault = refusal(text, "ndjson", on_bad_lines="skip")
    assert "lines are malformed" in fault.detail
    assert fault.errors[0]["pointer"] in ("/lines/1", "/lines/2")


def test_lines_are_malformed_only_for_who_asks() -> None:
    assert refusal('{"a":1}\nx\n{"a":2}', "ndjson").errors[0]["pointer"] == "/lines/2"
