"""JSON Lines and JSON arrays are read strictly: every byte is JSON, every row a flat object."""

from __future__ import annotations

import json

import pytest

from app.datasets.limits import MAX_LINE_BYTES
from app.errors import TooLarge
from tests.datasets.reading import IngestLimits, read, refusal


def test_lines_and_arrays_read_alike() -> None:
    rows = [{"a": 1, "b": "x", "c": None}, {"b": "ÿ😀", "a": -2.5, "d": True}]
    lines = read("\n".join(map(json.dumps, rows)), "ndjson")
    array = read(json.dumps(rows, indent=2, ensure_ascii=False), "json")
    expected = [
        {"a": 1.0, "b": "x", "c": None, "d": None},
        {"a": -2.5, "b": "ÿ😀", "c": None, "d": True},
    ]
    assert lines.rows == array.rows == expected
    assert lines.types == array.types == {"a": "real", "b": "category", "c": "category", "d": "boolean"}


def test_blank_lines_and_a_byte_order_mark_do_not_matter() -> None:
    assert read(b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}', "ndjson").values("a") == [1, 2]
    assert read(b'\xef\xbb\xbf \n[ {"a" : 1} ,\n{"a":2} ] \n', "json").values("a") == [1, 2]


def test_an_empty_string_is_a_value_and_null_is_not() -> None:
    table = read('{"a":""}\n{"a":null}\n{"a":"NA"}\n{}\n{"b":1}', "ndjson")
    assert table.values("a") == ["", None, "NA", None, None]


def test_strings_stay_strings_and_dates_become_moments() -> None:
    table = read('{"a":"5","b":"2024-01-01","c":"true"}\n', "ndjson")
    assert table.rows == [{"a": "5", "b": "2024-01-01T00:00:00Z", "c": "true"}]


def test_names_may_be_any_text() -> None:
    row = {"a b": 1, "it's": 2, '"q"': 3, "x/~y": 4, "ключ": 5, "{}": 6, "$.a": 7}
    assert read(json.dumps(row), "ndjson").rows == [row]


@pytest.mark.parametrize(
    ("values", "kind", "stored", "warning"),
    [
        ("1 2", "integer", [1, 2], None),
        ("1 2.0", "real", [1.0, 2.0], None),
        ("1e2 -0", "real", [100.0, 0.0], None),
        ("9223372036854775807", "integer", [2**63 - 1], None),
        ("9223372036854775808", "real", [float(2**63)], None),
        ("123456789012345678901 1", "category", ["123456789012345678901", "1"], "numbers-as-text"),
        ('1 "x"', "category", ["1", "x"], "mixed-types"),
        ("1 true", "category", ["1", "true"], "mixed-types"),
    ],
)
def test_numbers_are_never_changed_in_silence(
    values: str, kind: str, stored: list[object], warning: str | None
) -> None:
    table = read("\n".join(f'{{"a":{value}}}' for value in values.split()), "ndjson")
    assert (table.types["a"], table.values("a")) == (kind, stored)
    assert warning is None or warning in table.warnings


@pytest.mark.parametrize(
    ("line", "pointer", "said"),
    [
        ('{"a":NaN}', "/lines/2", "NaN is not a JSON number"),
        ('{"a":-Infinity}', "/lines/2", "-Infinity is not"),
        ('{"a":1e999}', "/lines/2", "too large for a number"),
        ('{"a":' + "9" * 5000 + "}", "/lines/2", "too many digits"),
        ('{"a":1,}', "/lines/2", "not JSON"),
        ("{'a':1}", "/lines/2", "not JSON"),
        ('{"a":01}', "/lines/2", "not JSON"),
        ('{"a":1}{"a":2}', "/lines/2", "extra data"),
        ('{"a":1,"a":2}', "/lines/2", "'a' more than once"),
        ('{"a":"\\ud800"}', "/lines/2/a", "surrogate"),
        ('{"\\ud800":1}', "/lines/2", "surrogate"),
        ('{"a":"\\u0000"}', "/lines/2/a", "NUL"),
        ('{"a":{"b":1}}', "/lines/2/a", "nested value in column 'a'"),
        ('{"a":{}}', "/lines/2/a", "nested"),
        ('{"a":[1]}', "/lines/2/a", "nested"),
        ('{"a":' + "[" * 100_000, "/lines/2", "nested too deeply"),
        ("[1]", "/lines/2", "not an object"),
        ("1", "/lines/2", "not an object"),
        ('{"a":"' + "x" * MAX_LINE_BYTES + '"}', "/lines/2", "longer than"),
        ('{"A":1}', "/columns/A", "only in case"),
        ('{"":1}', "/columns/2", "no name"),
    ],
)
def test_lines_that_are_not_flat_json_are_refused(line: str, pointer: str, said: str) -> None:
    fault = refusal('{"a":0}\n' + line + "\n", "ndjson")
    assert (fault.code, fault.errors[0]["pointer"]) == ("dataset-invalid", pointer)
    assert said in fault.detail
    assert len(fault.detail) < 250


@pytest.mark.parametrize(
    ("text", "pointer", "said"),
    [
        ("", None, "empty"),
        ("[]", None, "no rows"),
        ("[{}]", None, "no rows"),
        ('{"a":1}', None, "not a JSON array"),
        ('[{"a":1}', "/rows/1", "neither a comma"),
        ('[{"a":1},', "/rows/2", "not JSON"),
        ('[{"a":1},]', "/rows/2", "not JSON"),
        ('[{"a":1} {"a":2}]', "/rows/1", "neither a comma"),
        ('[{"a":1}] x', None, "goes on"),
        ("[1]", "/rows/1", "not an object"),
        ('[{"a":1},{"a":{"b":2}}]', "/rows/2/a", "nested"),
        ('[{"a":"\\u0000"}]', "/rows/1/a", "NUL"),
        ("[" * 100_000, "/rows/1", "nested too deeply"),
    ],
)
def test_arrays_that_are_not_tables_are_refused(text: str, pointer: str | None, said: str) -> None:
    fault = refusal(text, "json")
    assert said in fault.detail
    assert [error["pointer"] for error in fault.errors] == ([pointer] if pointer else [])


def test_json_in_another_encoding_is_refused() -> None:
    assert "UTF-8" in refusal('{"a":"é"}'.encode("latin-1"), "ndjson").detail
    assert "UTF-8" in refusal('{"a":"é"}'.encode("utf-16"), "ndjson").detail


def test_an_array_larger_than_the_window_is_read_whole() -> None:
    rows = [{"n": i, "text": "x" * (i % 3000)} for i in range(8_000)]
    table = read(json.dumps(rows), "json")
    assert table.rows == rows


def test_a_growing_set_of_names_stops_at_the_limit() -> None:
    lines = "\n".join(f'{{"c{i}":1}}' for i in range(50))
    with pytest.raises(TooLarge, match="columns"):
        read(lines, "ndjson", limits=IngestLimits(columns=20))
