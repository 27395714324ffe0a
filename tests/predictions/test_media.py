"""Predictions as files: CSV, Parquet and Arrow in and out, answered like JSON, and decoded in a confined child."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.datasets.reading import delimited as uploads
from app.predictions.media import ARROW, CSV, PARQUET
from app.predictions.protocols import delimited
from tests.test_errors import assert_problem
from tests.trained import ROW

URL = "/v1/models/penguins/predict"
ROWS = [ROW, ROW | {"bill_length_mm": None, "island": "Atlantis"}, ROW | {"sex": None}]


@pytest.fixture(autouse=True)
def stored(version: int) -> None:
    """The model penguins, with one version."""


@pytest.fixture
def expected(client: TestClient) -> list[dict[str, Any]]:
    """The answer to the rows as JSON."""
    answer: list[dict[str, Any]] = client.post(URL, json={"rows": ROWS}).json()["predictions"]
    return answer


def file_of(kind: str, table: pyarrow.Table) -> bytes:
    """A table as a file."""
    sink = io.BytesIO()
    if kind == PARQUET:
        pyarrow.parquet.write_table(table, sink)
    elif kind == CSV:
        pyarrow.csv.write_csv(table, sink)
    else:
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue()


def table_of(kind: str, content: bytes) -> pyarrow.Table:
    """The table in a file."""
    if kind == PARQUET:
        return pyarrow.parquet.read_table(io.BytesIO(content))
    return pyarrow.csv.read_csv(io.BytesIO(content)) if kind == CSV else pyarrow.ipc.open_stream(content).read_all()


@pytest.mark.parametrize("kind", [CSV, PARQUET, ARROW])
def test_a_file_is_answered_like_json_and_json_in_a_file(
    client: TestClient, kind: str, expected: list[dict[str, Any]]
) -> None:
    content = file_of(kind, pyarrow.Table.from_pylist(ROWS))
    assert client.post(URL, content=content, headers={"content-type": kind}).json()["predictions"] == expected
    answer = client.post(URL, json={"rows": ROWS}, headers={"accept": kind})
    assert (answer.headers["content-type"].partition(";")[0], answer.headers["x-maas-model"]) == (kind, "penguins@1")
    columns = table_of(kind, answer.content).to_pydict()
    assert columns["label"] == [prediction["label"] for prediction in expected]
    assert columns["probabilities.Gentoo"] == [prediction["probabilities"]["Gentoo"] for prediction in expected]
    assert [json.loads(text) for text in columns["warnings"]] == [prediction["warnings"] for prediction in expected]


def test_a_file_is_answered_with_a_file(client: TestClient, expected: list[dict[str, Any]]) -> None:
    content = file_of(CSV, pyarrow.Table.from_pylist(ROWS))
    answer = client.post(URL, content=content, headers={"content-type": CSV, "accept": f"image/png, {CSV};q=0.9"})
    assert answer.text.splitlines()[1].startswith(expected[0]["label"])
    assert_problem(client.post(URL, json={"rows": ROWS}, headers={"accept": "image/png"}), 406, "not-acceptable")


def test_csv_takes_the_words_for_missing_values_that_uploads_take() -> None:
    assert {"", *uploads.MISSING} == delimited.MISSING


@pytest.mark.parametrize(
    ("content", "status", "pointer"),
    [
        (b"", 422, "/data"),
        (b"year\n", 422, "/data"),
        (b"year,sex\n2008\n", 422, "/data/0"),
        (b"year,year\n2008,2008\n", 422, "/columns/1"),
        (b"year\nx\n", 422, "/data/0/0"),
        (b"year\n1e999\n", 422, "/data/0/0"),
        (b'year\n"2008\n', 400, None),
        (b"year\n\xff\n", 400, None),
        (b"year\n" + b"2008\n" * 10_001, 413, None),
    ],
)
def test_bad_csv_is_refused_with_its_place(
    client: TestClient, content: bytes, status: int, pointer: str | None
) -> None:
    answer = client.post(URL, content=content, headers={"content-type": CSV})
    assert answer.status_code == status
    assert [error["pointer"] for error in answer.json()["errors"]][:1] == ([pointer] if pointer else [])


def test_bad_arrow_files_are_refused(app: FastAPI, client: TestClient) -> None:
    good = file_of(ARROW, pyarrow.Table.from_pylist(ROWS))
    nested = file_of(ARROW, pyarrow.table({"year": [[1]]}))
    infinite = file_of(ARROW, pyarrow.table({"year": [1.0, float("inf")]}))
    many = file_of(ARROW, pyarrow.table({"year": [1.0] * 10_001}))
    for content, status, pointer in (
        (good[:-100], 422, None),
        (b"x", 422, None),
        (nested, 422, "/columns/0"),
        (infinite, 422, "/data/1/0"),
        (many, 413, None),
    ):
        answer = client.post(URL, content=content, headers={"content-type": ARROW})
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, pointer)
    assert not list(Path(app.state.settings.data_dir).glob("predicting-*"))


def test_options_choose_what_is_answered(client: TestClient) -> None:
    plain = client.post(URL, json={"rows": ROWS}, headers={"x-request-id": "mine"}).json()
    assert plain["id"] == "mine"
    first = plain["predictions"][0]["probabilities"]

    def ask(**options: Any) -> Any:
        answer = client.post(URL, json={"rows": [ROW], **options}).json()
        return answer["predictions"][0] if "predictions" in answer else answer["errors"][0]["pointer"]

    assert client.post(URL, json={"rows": [ROW], "id": "given"}).json()["id"] == "given"
    assert ask(classes=["Gentoo", "Adelie"])["probabilities"] == {name: first[name] for name in ("Gentoo", "Adelie")}
    assert list(ask(top_k=2)["probabilities"].items()) == sorted(first.items(), key=lambda item: -item[1])[:2]
    assert ask(probabilities=False).keys() == {"label", "warnings"}
    assert ask(classes=["Adelie", "Emperor"]) == "/classes/1"
    assert ask(classes=["Adelie", "Adelie"]) == "/classes/1"
    assert ask(threshold=0.5) == "/threshold"
    for name, odd in (("classes", []), ("top_k", True), ("top_k", 0), ("probabilities", 1), ("id", ""), ("id", 1)):
        assert ask(**{name: odd}) == f"/{name}"
