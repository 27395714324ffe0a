"""A line that is too long is refused with its number, however long it is and wherever it lies."""

from __future__ import annotations

import pytest

from app.datasets.limits import MAX_LINE_BYTES
from tests.datasets.reading import read, refusal


@pytest.mark.parametrize("num_limits", [1.1, 4, 15, 17, 40])
@pytest.mark.parametrize("num_before", [0, 300_000, 3_000_000])
def test_a_line_that_is_too_long_is_never_lost(num_limits: float, num_before: int) -> None:
    line = b"3," + b"x" * int(num_limits * MAX_LINE_BYTES)
    fault = refusal(b"a,b\n" + b"1,2\n" * num_before + line + b"\n5,6\n")
    assert fault.errors[0] == {"pointer": f"/lines/{num_before + 2}", "detail": "is longer than 2,097,152 bytes"}


def test_a_file_of_long_lines_within_the_limit_is_read() -> None:
    line = b"3," + b"x" * (MAX_LINE_BYTES - 100) + b"\r\n"
    assert read(b"a,b\r\n" + line * 12).answer["num_rows"] == 12
