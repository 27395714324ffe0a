"""How dialects refuse what they cannot read, and hand on what the model cannot."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import Invalid, TooLarge
from app.learning.errors import InputError

CODE = "schema-mismatch"


def refused(pointer: str, detail: str) -> Invalid:
    """The refusal of one place in a body."""
    return Invalid(f"{pointer}: {detail}", code=CODE, errors=[{"pointer": pointer, "detail": detail}])


def unanswerable(error: InputError, place: Callable[[str], str] = str) -> Invalid:
    """The refusal of rows that a model cannot answer; `place` moves its pointers to where the dialect has them."""
    errors = [{"pointer": place(each["pointer"]), "detail": each["detail"]} for each in error.errors]
    return Invalid(f"{errors[0]['pointer']}: {errors[0]['detail']}", code=CODE, errors=errors)


def check_num_rows(num_rows: int, max_rows: int) -> None:
    """Raise TooLarge when a request holds more rows than the settings allow."""
    if num_rows > max_rows:
        raise TooLarge(f"A request may hold {max_rows} rows; this one has {num_rows}.")
