"""Bodies of JSON: what is refused, how fast, and that what is fine is read as it stands."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.errors import Malformed
from app.web.strict_json import loads

BROKEN = {
    "nan": b'{"a": NaN}',
    "infinity": b'{"a": Infinity}',
    "minus-infinity": b'{"a": -Infinity}',
    "overflow": b'{"a": 1e999}',
    "minus-overflow": b'{"a": -1e999}',
    "duplicate-key": b'{"a": 1, "a": 2}',
    "duplicate-key-inside": b'[{"b": {"a": 1, "a": 1}}]',
    "duplicate-key-escaped": b'{"a": 1, "\\u0061": 2}',
    "lone-high-surrogate": b'["\\ud800"]',
    "lone-low-surrogate": b'["\\udc00 after"]',
    "swapped-surrogates": b'["\\udc00\\ud800"]',
    "surrogate-in-key": b'{"\\uDfff": 1}',
    "invalid-utf8": b'{"a": "\xff"}',
    "overlong-utf8": b'{"a": "\xc0\xaf"}',
    "utf8-surrogate": b'{"a": "\xed\xa0\x80"}',
    "bom": b'\xef\xbb\xbf{"a": 1}',
    "utf16": '{"a": 1}'.encode("utf-16"),
    "depth-33": b"[" * 33 + b"]" * 33,
    "depth-100000": b"[" * 100_000,
    "depth-objects": b'{"a":' * 33 + b"1" + b"}" * 33,
    "million-tokens": b"[" + b"0," * 1_000_001 + b"0]",
    "20-digits": b'{"a": 12345678901234567890}',
    "minus-20-digits": b'{"a": -12345678901234567890}',
    "5000-digits": b"[" + b"9" * 5000 + b"]",
    "only-spaces": b"   ",
    "trailing-garbage": b'{"a": 1} x',
    "two-documents": b'{"a":1}{"b":2}',
    "trailing-comma": b'{"a": 1,}',
    "single-quotes": b"{'a': 1}",
    "comment": b'{"a": 1} // x',
    "unquoted": b"{a: 1}",
    "half": b'{"a": [1, 2',
    "open-string": b'{"a": "b',
    "open-escape": b'{"a": "b\\',
    "bare-control": b'{"a": "\x01"}',
    "leading-zero": b'{"a": 01}',
    "plus": b'{"a": +1}',
    "hexadecimal": b'{"a": 0x10}',
    "bad-escape": b'{"a": "\\x41"}',
    "short-escape": b'{"a": "\\u12"}',
    "nul-bytes": b"\x00\x00",
}
FINE: list[object] = [
    {"a": 1, "b": [1.5, -0.0, None, True, "ü 😀"]},
    "😀",
    9_223_372_036_854_775_807,
    [[[[[]]]]],
    {"[": "]", '"': "\\", ",,": '{"'},
    "",
]


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_strictly_json_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        loads(body)
    assert refusal.value.code == "malformed-json"
    assert len(refusal.value.detail) < 200


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_route_answers_400_to_a_broken_body(client: TestClient, body: bytes) -> None:
    if len(body) > 10**6:
        pytest.skip("over the limit of this route, which another test has")
    answer = client.post("/v1/keys", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed-json")


@pytest.mark.parametrize("value", FINE)
def test_what_is_json_is_read_as_it_stands(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_every_json_value_survives_the_trip(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        loads(body)
    except Malformed:
        return


def test_depth_32_is_fine() -> None:
    loads(b"[" * 32 + b"]" * 32)


def test_brackets_inside_strings_do_not_count() -> None:
    assert loads(json.dumps(["[" * 100, '\\"[[' * 50]).encode()) == ["[" * 100, '\\"[[' * 50]


def test_a_nul_cannot_be_stored_but_can_be_read() -> None:
    assert loads(b'["\\u0000"]') == ["\0"]
    with pytest.raises(Malformed, match="NUL"):
        loads(b'["\\u0000"]', storable=True)
    assert loads(b'["\\\\u0000"]', storable=True) == ["\\u0000"]


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 200_000,
        b'"' * 200_001,
        b'["' + b"\\\\" * 200_000,
        b"\\" * 400_000,
        b'{"a":' * 80_000,
        b"[" + b'"a",' * 100_000,
    ],
    ids=["open-escaped-quotes", "quotes", "open-backslashes", "backslashes", "nested", "open-list"],
)
def test_no_text_takes_more_than_linear_time(body: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(Malformed):
        loads(body)
    assert time.perf_counter() - started < 1.0, "the quadratic scanner took minutes"
