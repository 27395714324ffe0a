"""Malformed lines that a caller wants left out: counted, the first of them listed, refused when they are the most."""

from __future__ import annotations

from typing import Any

from app.datasets.limits import MAX_ERRORS, invalid, pointer

MAX_LISTED = 100
MAX_SKIPPED = 100_000


class MalformedLines:
    """The lines of one file that were left out."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[dict[str, Any]] = []

    def add(self, line: int, detail: str) -> None:
        """Leave out a line. Raises Invalid when there are too many."""
        self.count += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append({"line": line, "detail": detail})
        self.add_unlisted(0)

    def add_unlisted(self, num_lines: int) -> None:
        """Leave out more lines, when the list is full already. Raises Invalid when there are too many."""
        self.count += num_lines
        if self.count > MAX_SKIPPED:
            raise self.refusal(f"over {MAX_SKIPPED:,} lines are malformed")

    def check(self, num_good: int) -> None:
        """Raise Invalid when more lines are malformed than are not."""
        if self.count > num_good:
            raise self.refusal(f"{self.count:,} of {self.count + num_good:,} lines are malformed")

    def details(self) -> dict[str, Any]:
        """What the description of the table says of them."""
        return {"malformed_lines": {"count": self.count, "lines": self.listed}}

    def warnings(self) -> list[dict[str, str | None]]:
        """One warning, if any were left out."""
        if not self.count:
            return []
        detail = f"{self.count:,} malformed lines were left out, the first of them line {self.listed[0]['line']}."
        return [{"column": None, "code": "malformed-lines", "detail": detail}]

    def refusal(self, reason: str) -> Exception:
        """The answer to a file whose malformed lines cannot be left out."""
        places = [(pointer("lines", item["line"]), str(item["detail"])) for item in self.listed[:MAX_ERRORS]]
        return invalid(f"The file is not what it was sent as: {reason}.", places)
