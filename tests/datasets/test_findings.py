"""Personal data, mixed types and keys are found by their patterns; ordinary columns are left in peace."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from app.datasets.reading.findings import findings, has_valid_card_digits, has_valid_iban_digits
from tests.datasets.reading import read

RANDOM = random.Random(5)


def found(values: list[Any], name: str = "column", stored: str = "string") -> tuple[list[str], str | None]:
    """The codes of the warnings, and the kind of personal data that was noted."""
    column: dict[str, Any] = {"name": name, "num_missing": 0, "num_distinct": len(set(values))}
    warnings = findings(column, stored, list(dict.fromkeys(values)), len(values))
    assert all(warning["column"] == name for warning in warnings)
    return [warning["code"] for warning in warnings], column.get("personal")


def card(prefix: str) -> str:
    body = prefix + "".join(RANDOM.choices("0123456789", k=15 - len(prefix)))
    return next(body + digit for digit in "0123456789" if has_valid_card_digits(body + digit))


def digits(length: int) -> str:
    return "".join(RANDOM.choices("123456789", k=1) + RANDOM.choices("0123456789", k=length - 1))


PEOPLE = {
    "email": [f"person.{i}@mail{i}.example.org" for i in range(9)],
    "card": [card(RANDOM.choice(["4", "51", "2221", "6011"])) for _ in range(9)],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "FR1420041010050500013M02606"],
    "phone": [
        "+49 30 123456",
        "+1 (555) 010-9999",
        "(555) 010-1234",
        "555-010-1234",
        "0049 171 1234567",
        "030/1234 567",
    ],
}


@pytest.mark.parametrize("kind", PEOPLE)
def test_personal_data_are_known_by_their_pattern(kind: str) -> None:
    assert found(PEOPLE[kind]) == (["personal-data"], kind)
    assert found([*PEOPLE[kind], "unknown", "n.a."])[1] == kind


def test_no_warning_shows_a_person() -> None:
    for values in PEOPLE.values():
        column: dict[str, Any] = {"name": "c", "num_missing": 0, "num_distinct": len(values)}
        for warning in findings(column, "string", [*values, "1", "2"] + [str(i) for i in range(30)], 99):
            assert not any(value[:6] in warning["detail"] for value in values)


def test_an_address_in_a_few_of_many_texts_is_found() -> None:
    texts = [f"a note about order {i}" for i in range(60)]
    assert found([*texts, "write to jo.doe+x@example.com, please"])[1] == "email"
    assert found([*texts, "meet @noon", "a@b", "user@localhost"])[1] is None


def test_numbers_of_cards_and_phones_are_found_in_columns_of_integers() -> None:
    assert found([int(card("4")) for _ in range(20)], stored="integer")[1] == "card"
    assert found([int(digits(10)) for _ in range(20)], "mobile_phone", "integer")[1] == "phone"


@pytest.mark.parametrize(
    "values",
    [
        [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 28)],
        [f"{day:02}.{month:02}.2024" for month in range(1, 13) for day in range(1, 28)],
        [f"10.0.{i}.{j}" for i in range(9) for j in range(9)],
        [f"{i / 7:.6f}" for i in range(999)],
        [digits(16) for _ in range(500)],
        [digits(10) for _ in range(500)],
        [f"DE{digits(20)}" for _ in range(500)],
        [f"{digits(5)}-{digits(4)}" for _ in range(99)],
        [f"978-{digits(1)}-{digits(5)}-{digits(3)}-{digits(1)}" for _ in range(99)],
        [f"{digits(3)}-{digits(2)}-{digits(4)}" for _ in range(99)],
        [f"{hour:02}:{minute:02}:00" for hour in range(24) for minute in range(60)],
        ["red", "green", "blue"],
    ],
    ids=lambda values: str(values[0]),
)
def test_ordinary_columns_hold_no_personal_data(values: list[str]) -> None:
    assert found(values) == ([], None)


def test_check_digits_are_checked() -> None:
    assert has_valid_card_digits("4111 1111 1111 1111")
    assert not has_valid_card_digits("4111 1111 1111 1112")
    assert has_valid_iban_digits("DE89 3704 0044 0532 0130 00")
    assert not has_valid_iban_digits("DE89 3704 0044 0532 0130 01")


def test_a_column_that_is_mostly_numbers_or_dates_says_how_many_are_not() -> None:
    column: dict[str, Any] = {"name": "c", "num_missing": 0, "num_distinct": 44}
    values = [str(i / 4) for i in range(40)] + ["n.d.", "unknown", "> 9", "none"]
    (warning,) = findings(column, "string", values, 99)
    detail = "Of 44 different values, 4 are not numbers, such as 'n.d.', 'unknown', '> 9'; kept as text."
    assert warning == {"column": "c", "code": "mixed-types", "detail": detail}
    assert found(["2024-01-01", "2024-01-02T03:04:05Z", "soon"]) == (["mixed-types"], None)
    assert found(["1", "2", "3"]) == ([], None)
    assert found(["1", "a", "b"]) == ([], None)


@pytest.mark.parametrize(
    ("name", "is_key"),
    [
        ("id", True),
        ("customer_id", True),
        ("customerID", True),
        ("OrderKey", True),
        ("row uuid", True),
        ("humidity", False),
        ("monkey", False),
        ("paid", False),
        ("amount", False),
    ],
)
def test_a_key_is_known_by_its_name_where_nearly_every_value_is_different(name: str, is_key: bool) -> None:
    assert found([3 * i for i in range(20)], name, "integer")[0] == (["likely-identifier"] if is_key else [])
    assert found([i % 7 for i in range(20)], name, "integer")[0] == []
    assert found([str(uuid.UUID(int=RANDOM.getrandbits(128))) for _ in range(20)], name)[0] == ["likely-identifier"]


def test_the_profile_of_an_upload_tells_what_was_found() -> None:
    table = read("order_id,mail,n,r\n" + "".join(f"{i},a{i}@example.org,{i % 3},0.5\n" for i in range(20)))
    warnings = [(warning["column"], warning["code"]) for warning in table.answer["profile"]["warnings"]]
    assert warnings == [("r", "constant"), ("order_id", "likely-identifier"), ("mail", "personal-data")]
    assert [column.get("personal") for column in table.columns.values()] == [None, "email", None, None]


@pytest.mark.parametrize("stored", ["real", "boolean", "datetime"])
def test_other_columns_are_not_looked_at(stored: str) -> None:
    assert found(["a@example.org"], stored=stored) == ([], None)
    assert found([]) == ([], None)
