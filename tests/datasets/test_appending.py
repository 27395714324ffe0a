"""A file is appended in the types of the version it goes to, after its rows; what does not fit is named."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.datasets.changing.appending import append
from app.datasets.ingest import IngestLimits, carry_out, reading
from app.datasets.options import ReadOptions
from app.errors import Invalid
from tests.datasets.reading import Table, parquet, read
from tests.datasets.stepping import work

CSV = "zip,age,born\n01067,31,2024-01-11\n10115,,2024-02-29\n"


def order(file_format: str = "csv", **options: Any) -> dict[str, Any]:
    return reading(None, None, b"", options=ReadOptions(**options).model_dump()) | {"format": file_format}


def appended(sent: bytes | str, file_format: str = "csv", to: Table | None = None, **options: Any) -> Table:
    parent = to or read(CSV, types={"zip": "category"})
    arguments = {name: value for name, value in order(file_format, **options).items() if name != "operation"}
    content = sent.encode() if isinstance(sent, str) else sent
    done: Table = work(append, parent.content, parent.answer["columns"], source=content, **arguments)
    return done


@pytest.mark.parametrize(
    ("sent", "file_format"),
    [
        ("born,zip,age\n2024-03-01,4711,7.0\n,,\n", "csv"),
        ("age\tborn\tzip\n7\t2024-03-01\t4711\n\t\t\n", "tsv"),
        ('{"zip": "4711", "age": 7, "born": "2024-03-01"}\n{}\n', "ndjson"),
        (parquet(pa.table({"age": [7, None], "born": ["2024-03-01", None], "zip": [4711, None]})), "parquet"),
        (gzip.compress(b"zip,age,born\n4711,7,2024-03-01\n,,\n"), "gzip"),
    ],
    ids=["csv", "tsv", "ndjson", "parquet", "gzip"],  # gzip writes the time into its bytes: no name for a test
)
def test_new_rows_come_after_the_old_in_the_types_of_the_version(sent: bytes | str, file_format: str) -> None:
    table = appended(sent, file_format)
    assert table.types == {"zip": "category", "age": "integer", "born": "datetime"}
    assert table.values("zip") == ["01067", "10115", "4711", None]
    assert table.values("age") == [31, None, 7, None]
    assert table.values("born")[1:] == ["2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", None]
    assert table.answer["details"]["appended"] == {"num_rows_before": 2, "num_rows_after": 4}
    assert table.columns["age"]["num_missing"] == 2


@pytest.mark.parametrize(
    ("sent", "errors"),
    [
        ("zip,age,born\n1,2,\n1,old,\n", {"/columns/age": "row 2: 'old' has no value as integer"}),
        ("zip,age\n1,2\n", {"/columns/born": "'born' is missing in the file"}),
        ("zip,age,born,x\n1,2,,4\n", {"/columns/x": "'x' is not a column of the data set"}),
        (
            "ZIP,age,born\n1,2,\n",
            {"/columns/zip": "'zip' is missing in the file", "/columns/ZIP": "'ZIP' is not a column of the data set"},
        ),
        ("zip,age,born\n", {}),
    ],
)
def test_what_does_not_fit_is_named(sent: str, errors: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        appended(sent)
    assert {error["pointer"]: error["detail"] for error in caught.value.errors} == errors


def test_what_was_decided_for_the_columns_stays() -> None:
    parent = read(CSV)
    for entry in parent.answer["columns"]:
        entry["policies"] = {"missing": "reject"}
    table = appended("zip,age,born\n1,2,\n", to=parent)
    assert [column["policies"] for column in table.columns.values()] == [{"missing": "reject"}] * 3


def test_the_child_appends_in_order_over_many_row_groups(tmp_path: Path) -> None:
    parent = read("n,x\n" + "".join(f"{number},a\n" for number in range(200_000)))
    (tmp_path / "parent").write_bytes(parent.content)
    (tmp_path / "sent [1]").write_text("x,n\n" + "".join(f"b,{number}\n" for number in range(200_000, 350_000)))
    inputs = {"parent": tmp_path / "parent", "source": tmp_path / "sent [1]"}
    asked = order() | {"operation": "append", "columns": parent.answer["columns"]}
    made = carry_out(asked, inputs, folder=tmp_path, limits=IngestLimits())
    table = read(made.parquet.read_bytes(), "parquet")
    assert made.num_rows == 350_000
    assert table.values("n") == list(range(350_000))
    assert not (tmp_path / "appended.parquet").exists()
