"""The same table gives the same columns and values, whether it comes as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.datasets.reading import Table, parquet, read

Rows = list[dict[str, Any]]

# Strings are marked, so that none of them reads as a number, a date or a word for a missing value.
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20).map(lambda text: "§" + text)
CELLS = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0),
    "category": STRINGS,
    "boolean": st.booleans(),
}
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8).filter(
    lambda name: name.strip() and not name[0].isdigit()
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Rows, dict[str, str]]:
    kinds = draw(st.dictionaries(NAMES, st.sampled_from(sorted(CELLS)), min_size=2, max_size=4))
    if len({name.lower() for name in kinds}) < len(kinds):
        kinds = {f"{i}{name}": kind for i, (name, kind) in enumerate(kinds.items())}
    row = st.fixed_dictionaries({name: st.none() | CELLS[kind] for name, kind in kinds.items()})
    complete = draw(st.fixed_dictionaries({name: CELLS[kind] for name, kind in kinds.items()}))
    rows = [complete, *draw(st.lists(row, max_size=8))]
    return [{name: row[name] for name in kinds} for row in rows], kinds


def as_csv(rows: Rows) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(rows[0])
    writer.writerows([_as_text(value) for value in row.values()] for row in rows)
    return stream.getvalue().encode()


def _as_text(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value


def as_parquet(rows: Rows, kinds: dict[str, str]) -> bytes:
    types = {"integer": pa.int64(), "real": pa.float64(), "category": pa.string(), "boolean": pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    return parquet(pa.Table.from_pylist(rows, schema=schema))


def described(table: Table) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = table.answer["columns"]
    return answer


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_every_format_gives_the_same_typed_columns_and_values(table: tuple[Rows, dict[str, str]]) -> None:
    rows, kinds = table
    lines = "\n".join(json.dumps(row) for row in rows)
    read_tables = [
        read(as_csv(rows)),
        read(lines, "ndjson"),
        read(json.dumps(rows, ensure_ascii=False), "json"),
        read(as_parquet(rows, kinds), "parquet"),
    ]
    for found in read_tables:
        note(f"{found.answer['details']}: {found.types}, {found.rows}, expected {rows}")
        assert found.types == kinds
        assert found.rows == rows
        assert described(found) == described(read_tables[0])
