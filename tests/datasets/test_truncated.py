"""A text file cut at any byte is refused, or read as exactly the rows that are whole."""

from __future__ import annotations

import json

import pytest

from app.errors import Invalid
from tests.datasets.reading import Table, read

ROWS = [{"a": number, "b": text} for number, text in enumerate(["x", "ä", 'say "hi"', "two\nlines", "😀, y", "z" * 9])]
CSV = "a,b\n" + "".join('{},"{}"\n'.format(row["a"], str(row["b"]).replace('"', '""')) for row in ROWS)
WHOLE = {
    "csv": CSV.encode(),
    "tsv": CSV.replace(",", "\t", 1).replace(',"', '\t"').encode(),
    "ndjson": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode(),
    "json": json.dumps(ROWS, ensure_ascii=False, indent=1).encode(),
}


def attempt(content: bytes, file_format: str) -> Table | None:
    """The table, or None where the file is refused."""
    try:
        return read(content, file_format)
    except Invalid:
        return None


@pytest.mark.parametrize("file_format", WHOLE)
def test_a_cut_file_gives_whole_rows_or_a_refusal(file_format: str) -> None:
    whole = WHOLE[file_format]
    assert read(whole, file_format).rows == ROWS
    for length in range(len(whole)):
        table = attempt(whole[:length], file_format)
        if table is None:
            continue
        assert list(table.columns) == ["a", "b"]
        # A cut within an empty last cell of CSV cannot be told from a missing value.
        assert table.values("a") == [row["a"] for row in ROWS[: len(table.rows)]]
        assert table.rows[:-1] == ROWS[: len(table.rows) - 1]
