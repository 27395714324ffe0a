"""The few failures that learning expects; everything else that is raised here is a bug.

LearningError      data or parameters that no spec can use; `code` and `pointer` say where
├── Diverged       the loss stopped being a finite number
├── OutOfMemory    the operating system or the limit refused an allocation
└── InvalidWeights a weights file that is not what it claims to be
InputError         rows that a trained model cannot answer; one pointer per bad value
"""

from __future__ import annotations

from typing import Any, TypedDict

MAX_SHOWN = 64


class Problem(TypedDict):
    """One thing that is wrong with a request, and where."""

    pointer: str
    detail: str


class LearningError(Exception):
    """Data or parameters that cannot be used, with a JSON pointer into the request that asked for it.

    `details` holds figures of the failure, `next_step` a better sentence than the one its code has anyway.
    """

    code: str = "invalid-training"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        pointer: str | None = None,
        errors: list[Problem] | None = None,
        details: dict[str, Any] | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}
        self.next_step = next_step
        self.code = code or type(self).code
        self.pointer = pointer
        self.errors: list[Problem] = errors or ([{"pointer": pointer, "detail": message}] if pointer else [])


class Diverged(LearningError):
    """The loss became infinite or not a number."""

    code = "diverged"


class OutOfMemory(LearningError):
    """An allocation was refused."""

    code = "out-of-memory"


class InvalidWeights(LearningError):
    """A weights file with an impossible header, name, count or number."""

    code = "invalid-weights"


class InputError(Exception):
    """Rows that cannot be predicted; `errors` holds one pointer and one sentence per bad value."""

    def __init__(self, errors: list[Problem]) -> None:
        super().__init__("; ".join(f"{error['pointer']}: {error['detail']}" for error in errors[:3]))
        self.errors = errors


def json_pointer(*parts: str | int) -> str:
    """Return the RFC 6901 pointer through `parts`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def shown(value: object) -> str:
    """Return at most 64 characters of a client's value, escaped, for use in a message."""
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MAX_SHOWN:
        return "a huge integer"
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
