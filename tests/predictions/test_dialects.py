"""All protocols answer the same rows alike, and refuse bad input as the table in docs/reference/predictions.md says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.settings import load
from app.storage import Storage
from tests.predictions.dialects import DIALECTS, IN_JSON, JSON, LENGTH, NAMES, Dialect, Row
from tests.trained import ROW, Trained

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "predictions.md"
STATED = re.compile(r"^\| `([a-z0-9-]+)` \| [^|]+ \| [^|]+ \| (\d{3}) `([a-z-]+)` \|$", re.MULTILINE)
MAX_ROWS = 4
MARK = "the value"
FILES = {name: DIALECTS[name] for name in ("raw", "csv")}


@pytest.fixture(autouse=True)
def stored(app: FastAPI, version: int) -> None:
    """The model penguins, with one version, and few rows in a request."""
    app.state.settings = load(environ={}, data_dir=app.state.settings.data_dir, max_predict_rows=MAX_ROWS)


@dataclass(frozen=True)
class Bad:
    """Bad input: in which dialects it can be sent, how, and the cell (of row 1) at which refusals point."""

    dialects: dict[str, Dialect]
    send: Callable[[Dialect], tuple[bytes, dict[str, str]]]
    column: str | None = None
    model: str = "penguins"


def value(column: str, odd: Any, dialects: dict[str, Dialect] = DIALECTS) -> Bad:
    """An odd value in the second of two rows."""
    return Bad(dialects, lambda dialect: dialect.body([ROW, ROW | {column: odd}]), column)


def token(text: str) -> Bad:
    """What no JSON library would write, where a value belongs."""

    def send(dialect: Dialect) -> tuple[bytes, dict[str, str]]:
        content, headers = dialect.body([ROW | {"island": MARK}])
        return content.replace(f'"{MARK}"'.encode(), text.encode()), headers

    return Bad(IN_JSON, send)


def content(change: Callable[[bytes], bytes], dialects: dict[str, Dialect] = IN_JSON, **headers: str) -> Bad:
    """A good body that something happened to."""

    def send(dialect: Dialect) -> tuple[bytes, dict[str, str]]:
        body, own = dialect.body([ROW])
        return change(body), own | {name.replace("_", "-"): text for name, text in headers.items()}

    return Bad(dialects, send)


def tensor(**changes: Any) -> Bad:
    """One input of two that lies about itself."""
    inputs = [{"name": name, "datatype": "FP64", "shape": [2], "data": [1, 2]} for name in ("year", "body_mass_g")]
    inputs[1] |= changes
    return Bad({"tensors": IN_JSON["tensors"]}, lambda _: (json.dumps({"inputs": inputs}).encode(), JSON))


def binary(size: Any, buffer: bytes, length: int | None = None, datatype: str = "FP64") -> Bad:
    """A tensor of two elements in raw bytes that lies about itself."""
    parameters = {"binary_data_size": size}
    header = {"inputs": [{"name": "year", "datatype": datatype, "shape": [2], "parameters": parameters}]}
    text = json.dumps(header).encode()
    headers = {LENGTH: str(len(text) if length is None else length)}
    return Bad({"raw": DIALECTS["raw"]}, lambda _: (text + buffer, headers))


def rows_of(*rows: Row, dialects: dict[str, Dialect] = DIALECTS) -> Bad:
    """Rows that are odd as a whole."""
    return Bad(dialects, lambda dialect: dialect.body(rows))


def only(*names: str) -> dict[str, Dialect]:
    """Some dialects."""
    return {name: DIALECTS[name] for name in names}


def of(model: str) -> Bad:
    """Good rows for a model that cannot answer."""
    return Bad(DIALECTS, lambda dialect: dialect.body([ROW]), model=model)


SHORT = {name: ROW[name] for name in NAMES[:-1]}
BY_ROW = only("matrix", "split")
BAD: dict[str, Bad] = {
    "text-for-a-number": value("year", "x"),
    "truth-for-a-number": value("year", True, IN_JSON),
    "nested-value": value("year", [2008], IN_JSON),
    "too-large-a-number": value("bill_length_mm", 1e308),
    "infinite-number": value("bill_length_mm", float("inf"), FILES),
    "nan-in-numbers": value("bill_length_mm", float("nan"), FILES),
    "null": value("bill_length_mm", None),
    "unseen-category": value("island", "Atlantis"),
    "unknown-column": rows_of(ROW | {"colour": "red"}, dialects=DIALECTS),
    "missing-column": rows_of(SHORT),
    "all-missing": rows_of(ROW, dict.fromkeys(NAMES), dialects=only(*IN_JSON)),
    "wrong-width": Bad(BY_ROW, lambda dialect: _shortened(dialect, all_rows=True)),
    "ragged": Bad(BY_ROW, lambda dialect: _shortened(dialect, all_rows=False)),
    "too-many-rows": rows_of(*[ROW] * (MAX_ROWS + 1)),
    "no-rows": Bad(only("rows", "records", "instances"), lambda dialect: dialect.body([])),
    "nan": token("NaN"),
    "infinity": token("-Infinity"),
    "number-out-of-range": token("1e999"),
    "lone-surrogate": token('"\\ud800"'),
    "deep-nesting": token("[" * 40 + "]" * 40),
    "duplicate-key": content(lambda body: b'{"x": 1, "x": 1, ' + body[1:]),
    "cut-off": content(lambda body: body[:-1]),
    "no-body": content(lambda body: b""),
    "not-an-object": content(lambda body: b"[]"),
    "not-utf-8": content(lambda body: body.replace(b"Biscoe", b"\xff")),
    "wrong-type": content(lambda body: body, DIALECTS, content_type="image/png"),
    "not-gzip": content(lambda body: body, DIALECTS, content_encoding="gzip"),
    "lying-shape": tensor(shape=[3]),
    "shape-of-other-rows": tensor(shape=[1], data=[1]),
    "negative-shape": tensor(shape=[-1]),
    "huge-shape": tensor(shape=[2**30, 2**30]),
    "unknown-datatype": tensor(datatype="FP128"),
    "repeated-tensor": tensor(name="year"),
    "lying-size": binary(8, bytes(8)),
    "truncated-bytes": binary(16, bytes(15)),
    "bytes-left-over": binary(16, bytes(17)),
    "text-length-beyond-the-bytes": binary(8, b"\xff\xff\xff\xff\x01\x00\x00\x00", datatype="BYTES"),
    "header-length-beyond-the-body": binary(16, bytes(16), length=10**6),
    "unknown-model": of("nothing"),
    "unknown-version": of("penguins@9"),
    "unknown-alias": of("penguins@champion"),
    "no-reference": of("penguins@1@2"),
    "corrupted-file": of("penguins"),
}


def _shortened(dialect: Dialect, *, all_rows: bool) -> tuple[bytes, dict[str, str]]:
    body, headers = dialect.body([ROW, ROW])
    changed = json.loads(body)
    for row in changed.get("dataframe_split", changed)["data"][0 if all_rows else 1 :]:
        row.pop()
    return json.dumps(changed).encode(), headers


@pytest.fixture
def corrupted(app: FastAPI, trained: Trained) -> Callable[[], None]:
    """Damages the stored graph."""
    storage: Storage = app.state.storage
    return lambda: os.truncate(storage.path(storage.put(trained.graph).sha256), 100)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_its_stated_answer_in_every_protocol(
    client: TestClient, corrupted: Callable[[], None], case: str
) -> None:
    bad, (status, code) = BAD[case], stated()[case]
    if case == "corrupted-file":
        corrupted()
    for name, dialect in bad.dialects.items():
        body, headers = bad.send(dialect)
        answer = client.post(dialect.path.format(bad.model), content=body, headers=headers)
        assert (name, answer.status_code) == (name, status), answer.text
        if status == 200:
            warned = {warning["code"] for each in dialect.predictions(answer) for warning in each["warnings"]}
            assert (name, warned) == (name, {code})
            continue
        problem = answer.json()
        assert (name, problem["type"]) == (name, f"/problems/{code}")
        assert ("error" in problem) != ("error_code" in problem)
        if code == "schema-mismatch":
            assert problem["errors"][0]["pointer"].startswith("/")
        if bad.column is not None:
            assert (name, problem["errors"][0]["pointer"]) == (name, dialect.pointer(1, bad.column))


def stated() -> dict[str, tuple[int, str]]:
    """Status and code that the table promises for each case."""
    return {case: (int(status), code) for case, status, code in STATED.findall(PAGE.read_text())}


def test_the_table_has_every_case() -> None:
    assert list(stated()) == list(BAD)


def cells(name: str) -> st.SearchStrategy[Any]:
    """Values of a column, in range and beyond, known and not, and none."""
    sample = ROW[name]
    if isinstance(sample, str):
        return st.sampled_from([sample, "Dream", "male", "Atlantis", "é", None])
    low, high = sample * 0.5, sample * 1.5
    number = st.floats(low, high, allow_nan=False) if isinstance(sample, float) else st.integers(int(low), int(high))
    return st.one_of(number, st.none())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({name: cells(name) for name in NAMES}), min_size=1, max_size=MAX_ROWS))
def test_the_same_rows_have_the_same_answers_in_every_protocol(client: TestClient, rows: list[Row]) -> None:
    expected: Any = None
    for name, dialect in DIALECTS.items():
        body, headers = dialect.body(rows)
        answer = client.post(dialect.path.format("penguins"), content=body, headers=headers)
        found = dialect.predictions(answer) if answer.status_code == 200 else answer.status_code
        expected = found if expected is None else expected
        assert (name, found) == (name, expected)
