"""An export read again is the same table, no spreadsheet runs a cell of it, and the same table gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.asking.exporting import FORMULA
from app.datasets.asking.exports import Form
from app.datasets.asking.questions import Asking, export
from app.datasets.limits import IngestLimits
from app.datasets.reading.delimited import MISSING
from app.datasets.rows import read_rows
from tests.datasets.reading import read
from tests.datasets.stored import ask, entries, table

TYPES = {"n": "integer", "r": "real", "b": "boolean", "t": "datetime", "s": "text"}
# What CSV cannot say: an empty text and words for a missing value, which read as missing, and the kinds of line ends.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12).filter(
    lambda text: text not in MISSING
)
ROW = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | TEXT,
)


def written(types: dict[str, str], rows: list[tuple[Any, ...]], form: str, *, formula_safe: bool = True) -> bytes:
    arguments = {"columns": entries(types), "format": form, "formula_safe": formula_safe}
    content: bytes = ask("export", arguments, "export", stored=table(types, rows))
    return content


def shown(types: dict[str, str], rows: list[tuple[Any, ...]], folder: Path) -> list[dict[str, Any]]:
    pyarrow.parquet.write_table(table(types, rows), folder / "data.parquet")
    return read_rows(folder / "data.parquet", None, offset=0, limit=10**6)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=8))
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_read_again_is_the_same_table(
    form: str, rows: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = written(TYPES, rows, form, formula_safe=False)
    again = read(content, form, types=TYPES)
    assert json.dumps(again.rows) == json.dumps(shown(TYPES, rows, tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("kind", ["integer", "real", "text", "datetime"])
def test_rows_of_a_single_column_with_missing_cells_are_all_there(kind: str) -> None:
    value = {"integer": 3, "real": 1.5, "text": "x", "datetime": datetime(2024, 5, 1, tzinfo=UTC)}[kind]
    again = read(written({"c": kind}, [(None,), (value,), (None,)], "csv"))
    assert [cell is None for cell in again.values("c")] == [True, False, True]
    assert again.types["c"] == ("category" if kind == "text" else kind)


@settings(max_examples=60, deadline=None)
@given(text=st.text(FORMULA + "a1'\n", min_size=1, max_size=4), name=st.text(FORMULA + "a1'", min_size=1, max_size=4))
def test_no_text_and_no_name_begins_as_a_formula_does(text: str, name: str) -> None:
    content = written({name: "text", "n": "integer"}, [(text, -5)], "csv").decode()
    (safe_name, _), (safe_text, number) = csv.reader(io.StringIO(content, newline=""))
    assert not safe_text.startswith(tuple(FORMULA))
    assert not safe_name.startswith(tuple(FORMULA))
    assert safe_text.removeprefix("'") in (text, text.removeprefix("'"))
    assert number == "-5"


def test_text_is_left_alone_where_that_is_asked_for() -> None:
    assert written({"=c": "text"}, [("=1+1",)], "csv", formula_safe=False) == b'"=c"\n"=1+1"\n'
    assert json.loads(written({"=c": "text"}, [("=1+1",)], "ndjson")) == {"=c": "=1+1"}


def test_names_stay_unique_with_their_apostrophes() -> None:
    content = written({"=a": "text", "'=A": "text", "''=a": "real"}, [("x", "y", 1.0)], "csv").decode()
    names = next(csv.reader(io.StringIO(content)))
    assert names == ["'''=a", "'=A", "''=a"]


def test_the_order_of_rows_is_kept_and_bytes_repeat(tmp_path: Path) -> None:
    rows = [(i, f"row {i}") for i in range(20_000)]
    content = written({"n": "integer", "place": "text"}, rows, "csv")
    assert [int(line.partition(b",")[0]) for line in content.splitlines()[1:]] == list(range(20_000))
    assert written({"n": "integer", "place": "text"}, rows, "csv") == content


def test_the_sandboxed_child_writes_the_same(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(table({"s": "text"}, [("=x",)]), tmp_path / "data.parquet")
    asking = Asking(tmp_path, IngestLimits())
    path = export(tmp_path / "data.parquet", entries({"s": "text"}), Form("csv"), asking)
    assert path.read_bytes() == b'"s"\n"\'=x"\n'
