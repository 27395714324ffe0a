"""Every row of the table of bad inputs: the stated answer, nothing stored, and the next request works."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.settings import Settings
from tests.counts import everything
from tests.datasets.bad_inputs import BAD_INPUTS, DECODED_BYTES
from tests.processes import Server
from tests.test_errors import assert_problem

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "uploads.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| [^|]+ \| (\d{3}) (?:`([a-z-]+)`)? ?\| (?:`([^|`]+)`)? ?\| ([^|]+) \|$", re.M)
MIB = 1 << 20


class Stated(NamedTuple):
    """One row of the table: what it promises."""

    status: int
    code: str
    pointer: str
    said: str


def stated() -> dict[str, Stated]:
    """The rows of the table by their names."""
    return {
        name: Stated(int(status), code, pointer, said)
        for name, status, code, pointer, said in ROW.findall(PAGE.read_text())
    }


def files(settings: Settings) -> set[Path]:
    """Everything below the data folder, but for what the database itself keeps."""
    return {path for path in settings.data_dir.rglob("*") if not path.name.startswith("maas.db")}


def test_the_table_names_what_is_tested_and_nothing_else() -> None:
    assert list(stated()) == list(BAD_INPUTS)


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_input_has_its_stated_answer(app: FastAPI, client: TestClient, settings: Settings, name: str) -> None:
    app.state.settings = settings.model_copy(update={"max_decoded_bytes": DECODED_BYTES})
    rows, there = everything(app), files(settings)
    bad, promised = BAD_INPUTS[name], stated()[name]
    content = bad.make()
    if bad.filename:
        answer = client.post("/v1/datasets", files={"file": (bad.filename, content, bad.content_type)})
    else:
        answer = client.post("/v1/datasets?name=t", content=content, headers={"content-type": bad.content_type})
    assert answer.status_code == promised.status, answer.text
    if promised.status == 201:
        assert promised.said in told(client, answer.json()["id"])
    else:
        problem = assert_problem(answer, promised.status, promised.code)
        assert promised.said in problem["detail"]
        assert [error["pointer"] for error in problem["errors"][:1]] == ([promised.pointer] if promised.pointer else [])
        assert (everything(app), files(settings)) == (rows, there)
    assert not list(settings.data_dir.rglob("*was-unpickled*"))
    assert not Path("was-unpickled").exists()
    assert client.get("/v1/datasets").status_code == 200


def told(client: TestClient, dataset_id: str) -> str:
    """What is said of a data set that was accepted: its types, its cells and its warnings, in one text."""
    profile = client.get(f"/v1/datasets/{dataset_id}/profile").json()
    warnings = [f"warning {warning['code']}" for warning in profile["warnings"]]
    types = [f"{column['name']}: {column['type']}" for column in profile["columns"]]
    dataset = client.get(f"/v1/datasets/{dataset_id}").json()
    return "; ".join([*warnings, *types, f"{dataset['num_rows']} rows", f"named {dataset['name']}"])


def gibibyte(begin: bytes) -> Iterator[bytes]:
    """A gigabyte that begins like a table and has no end of a line."""
    yield begin
    block = b"x" * MIB
    for _ in range(1024):
        yield block


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begin", "content_type", "said"),
    [
        (b"a,b\n1,", "text/csv", "Line 2 is longer than"),
        (b"", "text/csv", "Line 1 is longer than"),
        (b'{"a": "', "application/x-ndjson", "Line 1 is longer than"),
    ],
)
def test_a_line_of_a_gigabyte_leaves_the_memory_flat(
    serve: Callable[..., Server], begin: bytes, content_type: str, said: str
) -> None:
    server = serve(MAAS_INLINE_INGEST_BYTES=str(2 << 30), MAAS_EMBEDDED_WORKER="false")
    assert server.process is not None
    small = {"content": b"a\n1\n2\n", "headers": {"content-type": "text/csv"}}
    assert server.http.post("/v1/datasets?name=t", **small).status_code == 201
    api = psutil.Process(server.process.pid)
    before = api.memory_info().rss
    headers = {"content-type": content_type}
    answer = server.http.post("/v1/datasets?name=t", content=gibibyte(begin), headers=headers)
    growth: Any = api.memory_info().rss - before
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]
    assert growth < 64 * MIB
    assert list((server.folder / "incoming").iterdir()) == []
    assert server.http.post("/v1/datasets?name=t", **small).status_code == 201
