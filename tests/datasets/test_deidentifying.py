"""De-identifying steps hide what they shall, alike for the same secret, and never show more than was asked."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.reading.delimited import MISSING
from tests.datasets.reading import Table
from tests.datasets.stepping import SECRET, transformed

FEW = settings(max_examples=25, deadline=None)
# What a CSV cell can hold without being read as missing or breaking its line.
LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"')
TEXT = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: text not in MISSING)


def masked(values: list[str], **options: Any) -> list[str]:
    return column(values, {"op": "mask", "columns": ["x"], **options}).values("x")


def column(values: list[str], *steps: dict[str, Any], kind: str = "text") -> Table:
    csv = "x,n\n" + "".join(f'"{value}",1\n' for value in values)
    return transformed(csv, *steps, types={"x": kind})


def pseudonym(text: str, length: int = 32) -> str:
    return hmac.digest(bytes.fromhex(SECRET), text.encode(), "sha256").hex()[:length]


@FEW
@given(values=st.lists(TEXT, min_size=1, max_size=5), first=st.integers(0, 5), last=st.integers(0, 5))
def test_a_mask_shows_no_more_characters_than_asked(values: list[str], first: int, last: int) -> None:
    for value, shown in zip(values, masked(values, keep_first=first, keep_last=last), strict=True):
        if len(value) <= first + last:
            assert shown == "*" * len(value)
        else:
            assert shown == value[:first] + "*" * (len(value) - first - last) + value[len(value) - last :]


@FEW
@given(value=TEXT, until=TEXT.filter(lambda text: len(text) < 4), first=st.integers(0, 2))
def test_a_mask_up_to_a_text_hides_all_before_it(value: str, until: str, first: int) -> None:
    (shown,) = masked([value], keep_first=first, until=until)
    before, found, after = value.partition(until)
    hidden = before[:first] + "*" * (len(before) - first) if len(before) > first else "*" * len(before)
    assert shown == hidden + found + after


def test_masks_of_cards_phones_and_addresses() -> None:
    assert masked(["4111111111111111"], keep_last=4) == ["************1111"]
    assert masked(["+49 170 1234567"], keep_first=3) == ["+49************"]
    assert masked(["ann@example.org", "bob"], keep_first=1, until="@") == ["a**@example.org", "b**"]


def test_numbers_are_masked_as_text() -> None:
    table = column(["4111111111111111", ""], {"op": "mask", "columns": ["x"], "keep_last": 2}, kind="integer")
    assert (table.values("x"), table.types["x"]) == (["**************11", None], "text")


@FEW
@given(values=st.lists(TEXT, min_size=1, max_size=5), length=st.integers(8, 64))
def test_a_pseudonym_is_the_keyed_hash_of_the_text(values: list[str], length: int) -> None:
    table = column(values, {"op": "pseudonymise", "columns": ["x"], "length": length})
    assert table.values("x") == [pseudonym(value, length) for value in values]


def test_the_same_value_has_the_same_pseudonym_whatever_its_column_and_type() -> None:
    csv = "a,b,c,d,e\n7,7,7.0,true,2024-01-11\n8,,2.5,false,2024-01-11T10:00:00.5Z\n"
    table = transformed(csv, {"op": "pseudonymise", "columns": list("abcde")}, types={"b": "category"})
    assert list(table.rows[0].values()) == [
        *[pseudonym("7")] * 3,
        pseudonym("true"),
        pseudonym("2024-01-11T00:00:00Z"),
    ]
    texts = ["8", None, "2.5", "false", "2024-01-11T10:00:00.500000Z"]
    assert list(table.rows[1].values()) == [text and pseudonym(text) for text in texts]
    assert list(table.types.values()) == ["identifier", "category", *["identifier"] * 3]


def test_another_secret_gives_other_pseudonyms() -> None:
    step = {"op": "pseudonymise", "columns": ["x"]}
    found = [transformed("x,n\na,1\n", step, secret=secret).values("x") for secret in ("00" * 32, "01" * 32, "00" * 64)]
    # Keys are filled with zeros, so the first and the last are one key.
    assert found[0] != found[1]
    assert found[0] == found[2]


def test_short_pseudonyms_say_how_likely_two_values_share_one() -> None:
    (told,) = column(["a", "b"] * 100, {"op": "pseudonymise", "columns": ["x"], "length": 8}).answer["details"]["steps"]
    assert told["collision_probability"] == pytest.approx(200 * 199 / 2 / 2**32)


@pytest.mark.parametrize(
    ("values", "kind", "way", "bands"),
    [
        (["0", "9", "30", "39", "40"], "integer", {"width": 10}, ["0-9", "0-9", "30-39", "30-39", "40-49"]),
        (["-1", "-10", "-11"], "integer", {"width": 10}, ["-10 to -1", "-10 to -1", "-20 to -11"]),
        (["-3", "4"], "integer", {"width": 1}, ["-3", "4"]),
        (
            [str(2**63 - 1), str(-(2**63))],
            "integer",
            {"width": 10},
            ["9223372036854775800-9223372036854775809", "-9223372036854775810 to -9223372036854775801"],
        ),
        (["0.0", "0.49", "0.5", "-0.1"], "real", {"width": 0.5}, ["0 to <0.5", "0 to <0.5", "0.5 to <1", "-0.5 to <0"]),
        (["0.31"], "real", {"width": 0.1}, ["0.3 to <0.4"]),
        (["17", "18", "64", "65"], "integer", {"edges": [18, 65]}, ["<18", "18-64", "18-64", ">=65"]),
        (["-5", "0", "1", "2"], "integer", {"edges": [-5, 0, 1]}, ["-5 to -1", "0", ">=1", ">=1"]),
        (["0.1", "0.5", "2"], "real", {"edges": [0.5, 1.5]}, ["<0.5", "0.5 to <1.5", ">=1.5"]),
        (["10115", "1é9"], "text", {"characters": 2}, ["10", "1é"]),
    ],
)
def test_values_are_generalised_to_bands(values: list[str], kind: str, way: dict[str, Any], bands: list[str]) -> None:
    table = column([*values, ""], {"op": "generalise", "columns": ["x"], **way}, kind=kind)
    assert table.values("x") == [*bands, None]
    assert table.types["x"] == ("text" if kind == "text" else "category")


@pytest.mark.parametrize(
    ("period", "begins"),
    [("day", "1969-11-09"), ("month", "1969-11-01"), ("quarter", "1969-10-01"), ("year", "1969-01-01")],
)
def test_moments_are_generalised_to_periods(period: str, begins: str) -> None:
    table = column(
        ["1969-11-09T23:59:59.9Z", ""], {"op": "generalise", "columns": ["x"], "to": period}, kind="datetime"
    )
    assert table.values("x") == [f"{begins}T00:00:00Z", None]
    assert table.types["x"] == "datetime"


def test_rare_values_become_one_or_missing_and_rows_keep_their_order() -> None:
    values = ["a", "b", "a", "", "c", "a", "b"]
    step = {"op": "suppress_rare", "columns": ["x"], "min_count": 2}
    table = column(values, step)
    assert table.values("x") == ["a", "b", "a", None, "other", "a", "b"]
    (told,) = table.answer["details"]["steps"]
    assert told["columns"] == {"x": {"num_values_suppressed": 1, "num_cells_changed": 1}}
    assert column(values, step | {"min_count": 3, "replacement": None}).values("x") == [
        "a",
        None,
        "a",
        None,
        None,
        "a",
        None,
    ]
    numbers = column(["5", "6", "5"], step | {"replacement": None}, kind="integer")
    assert numbers.values("x") == [5, None, 5]
