"""The grammar of model references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from app.models.reference import Reference, parse

WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
ALIAS = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("churn", Reference("churn")),
        ("churn@3", Reference("churn", version=3)),
        ("churn@champion", Reference("churn", alias="champion")),
        ("3", Reference("3")),
        ("3@3", Reference("3", version=3)),
        ("a.b-c_d@v1.2", Reference("a.b-c_d", alias="v1.2")),
        ("x" * 128 + "@" + "y" * 64, Reference("x" * 128, alias="y" * 64)),
        ("m@999999999", Reference("m", version=999_999_999)),
        ("m@007", Reference("m", version=7)),
    ],
)
def test_a_reference_is_a_name_a_number_or_an_alias(text: str, meant: Reference) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(
    "text",
    ["", "@", "@1", "m@", "m@@1", "m@1@2", "m 1", "m@-1", "m@1.0", "m@1a", "m@9999999999", "../m", ".m", "-m", "m/1",
     "m\n", "m@1\n", "ä", "m@ä", "m@٣", "x" * 129, "m@" + "y" * 65, "m\0", "m@.a"],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="model reference"):
        parse(text)


@given(WORD, st.integers(0, 999_999_999))
def test_numbers_are_read_back(name: str, version: int) -> None:
    assert parse(f"{name}@{version}") == Reference(name, version=version)


@given(WORD, ALIAS)
def test_aliases_are_read_back(name: str, alias: str) -> None:
    assert parse(f"{name}@{alias}") == Reference(name, alias=alias)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except Invalid:
        return
    assert text.startswith(reference.name)
