"""Values: a text is read as another type by one rule, whether an upload is told the type or a preparation."""

from __future__ import annotations

import numpy as np
import pytest

from app.datasets.reading import casts
from app.errors import Invalid
from app.learning.values import MOMENT, coerce, convert
from tests.datasets.reading import read

TEXTS = {
    "datetime": [
        "2020-01-01", "2020-01-01T00:00:00.123456789Z", "2020-01-01 00:00+05", "2020-01-01T00:00:00+0530", "20200101",
        "2020-W01-1", "2020-01-01T24:00:00", "2020-01-01T00", "2020-01-01T23:59:60Z", "2020-01-01T00:00:00,5",
        " 2020-01-01 ", "2020-02-30", "2020-01-01T00:00:00+05:30:15", "2020-01-01X00:00:00",
        "2020-01-01T00:00:00+24:00", "0000-01-01", "9999-12-31T23:00-05", "0001-01-01T01:00+02", "1577836800",
    ],
    "boolean": ["true", "FALSE", "yes", "No", " t ", "1", "0", "on", "1.0", "truth"],
    "real": ["1.5", " 1e3 ", ".5", "1.", "-0.0", "+2", "1_0", "0x10", "1e999", "\u0661", "infinity", "nan.", "--1"],
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(TEXTS))
def test_an_upload_and_a_preparation_read_the_same_texts_as_a_type(kind: str) -> None:
    for text in TEXTS[kind]:
        try:
            stored = read(f'a,b\n"{text}",1\n', types={"a": kind}).values("a")
        except Invalid:
            stored = [None]
        errors: list[ValueError] = []
        found = convert(np.array([text], object), "category", kind, lambda _, error, to=errors: to.append(error))
        assert bool(errors) == (stored == [None]), text
        expected = coerce(stored, kind, lambda _, error: pytest.fail(str(error)))
        assert np.array_equal(found, expected, equal_nan=True), text


def test_moments_are_written_alike_in_uploads_and_predictions() -> None:
    assert MOMENT.pattern == casts.DATETIME
