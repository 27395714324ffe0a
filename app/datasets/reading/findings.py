"""What the values of one column look like: personal data, a mix of types, an identifier; told without showing a person.

Works on a sample of different values. Patterns are chosen so that a warning is nearly always right: check digits
where a number has them, and most of the values where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from app.datasets.asking.condition_values import MOMENT, REAL
from app.datasets.limits import shown

MAX_CHARACTERS = 200
NUM_EXAMPLES = 3
MIN_ROWS_OF_IDENTIFIER = 10
NEAR_UNIQUE_SHARE = 0.95
MOST = 0.5

EMAIL = re.compile(r"(?<![\w.+-])[\w.%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b")
CARD = re.compile(r"(?:4|5[1-5]|2[2-7]|3[47]|6(?:011|5))\d(?:[ -]?\d){10,16}")
IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
# With a country code, or in groups that no date and no decimal number has.
PHONE = re.compile(
    r"(?:\+|00)[1-9](?:[ ().\-/]{0,2}\d){6,14}"
    r"|(?:1[ .-])?(?:\(\d{2,5}\)|\d{3})[ .-]\d{3,4}[ .-]\d{4}"
    r"|0\d{2,4}[ /-]\d{3,4}(?:[ -]?\d{2,4}){1,2}"
)
PHONE_NAME = re.compile(r"phone|mobile|cell ?no|^tel$|telephone|^fax$|msisdn", re.IGNORECASE)
PLAIN_PHONE = re.compile(r"\d{7,15}")
UUID = re.compile(r"\{?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\}?", re.IGNORECASE)
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
IDENTIFIER_WORDS = frozenset({"id", "uuid", "guid", "key", "identifier", "pk"})


@dataclass(frozen=True)
class Kind:
    """A kind of personal data: its name, how a value of it is known, and which share of the values must be."""

    name: str
    called: str
    matches: Callable[[str], bool]
    min_share: float


def has_valid_card_digits(text: str) -> bool:
    """The check of Luhn, which one random number in ten passes."""
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    return sum(digits[::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def has_valid_iban_digits(text: str) -> bool:
    """The check of ISO 7064, which one random text in 97 passes."""
    plain = text.replace(" ", "")
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1


KINDS = (
    # An address within a longer text is one, too.
    Kind("email", "an e-mail address", lambda text: "@" in text and EMAIL.search(text) is not None, 0.01),
    Kind("iban", "a bank account", lambda text: bool(IBAN.fullmatch(text)) and has_valid_iban_digits(text), MOST),
    Kind("card", "a card number", lambda text: bool(CARD.fullmatch(text)) and has_valid_card_digits(text), MOST),
    Kind("phone", "a phone number", lambda text: PHONE.fullmatch(text) is not None, MOST),
)
PHONES_BY_NAME = Kind("phone", "a phone number", lambda text: PLAIN_PHONE.fullmatch(text) is not None, MOST)


def findings(column: dict[str, Any], stored: str, sample_values: Iterable[Any], num_rows: int) -> list[dict[str, Any]]:
    """Warnings about a column with these different values; personal data are noted in its entry as `personal`."""
    texts = [str(value)[:MAX_CHARACTERS].strip() for value in sample_values if value is not None]
    if not texts or stored not in ("string", "integer"):
        return []
    personal = _personal(column["name"], texts)
    found = []
    if personal is not None:
        column["personal"] = personal.name
        found.append(_personal_warning(personal, texts))
    if stored == "string" and (mixed := _mixed(texts, may_show=personal is None)):
        found.append(("mixed-types", mixed))
    if _is_identifier(column, texts, num_rows):
        found.append(
            ("likely-identifier", "Its name or its values are those of a key; a model learns nothing from it.")
        )
    return [{"column": column["name"], "code": code, "detail": detail} for code, detail in found]


def _personal(name: str, texts: Sequence[str]) -> Kind | None:
    kinds = (*KINDS, PHONES_BY_NAME) if PHONE_NAME.search(name.replace("_", " ")) else KINDS
    return next((kind for kind in kinds if _share(kind, texts) >= kind.min_share), None)


def _share(kind: Kind, texts: Sequence[str]) -> float:
    return sum(map(kind.matches, texts)) / len(texts)


def _personal_warning(kind: Kind, texts: Sequence[str]) -> tuple[str, str]:
    detail = (
        f"{_share(kind, texts):.0%} of the values looked at hold {kind.called}. Unless it is needed, remove it with "
        "the step drop_columns, or hide it with pseudonymise or mask."
    )
    return "personal-data", detail


def _mixed(texts: Sequence[str], *, may_show: bool) -> str | None:
    """What to say of a column of text that is mostly numbers, or mostly dates."""
    for called, pattern in (("numbers", REAL), ("dates", MOMENT)):
        others = [text for text in texts if not pattern.fullmatch(text)]
        if 0 < len(others) < MOST * len(texts):
            harmless = (text for text in others if may_show and not any(kind.matches(text) for kind in KINDS))
            examples = ", ".join(shown(text, 32) for text in islice(harmless, NUM_EXAMPLES))
            such_as = f", such as {examples}" if examples else ""
            return f"Of {len(texts):,} different values, {len(others):,} are not {called}{such_as}; kept as text."
    return None


def _is_identifier(column: Mapping[str, Any], texts: Sequence[str], num_rows: int) -> bool:
    present = num_rows - column["num_missing"]
    is_near_unique = present >= MIN_ROWS_OF_IDENTIFIER and column["num_distinct"] > NEAR_UNIQUE_SHARE * present
    words = {word.lower() for word in WORDS.findall(column["name"])}
    return is_near_unique and (bool(words & IDENTIFIER_WORDS) or all(map(UUID.fullmatch, texts)))
