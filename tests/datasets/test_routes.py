"""Uploads over HTTP: every form they come in, every way they are refused, and what can be read back."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.settings import Settings
from tests.counts import everything
from tests.test_errors import assert_problem
from tests.trained import Trained

TABLE = b"color,size\nred,1\nblue,2.5\nred,\n"
CSV = {"content-type": "text/csv"}
ROWS = [{"color": "red", "size": 1.0}, {"color": "blue", "size": 2.5}, {"color": "red", "size": None}]


def parquet() -> bytes:
    """The table as Parquet."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), file)
    return file.getvalue()


FORMS: dict[str, tuple[bytes, str]] = {
    "csv": (TABLE, "text/csv"),
    "csv-charset": (TABLE, "text/csv; charset=utf-8"),
    "tsv": (TABLE.replace(b",", b"\t"), "text/tab-separated-values"),
    "ndjson": (b"\n".join(json.dumps(row).encode() for row in ROWS), "application/x-ndjson"),
    "json": (json.dumps(ROWS).encode(), "application/json"),
    "parquet": (parquet(), "application/vnd.apache.parquet"),
    "csv-untold": (TABLE, ""),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "text/csv"),
    "only-a-header": (b"a,b\n", "text/csv"),
    "ragged": (b"a,b\n1,2\n1,2,3\n", "text/csv"),
    "two-columns-of-one-name": (b"a,a\n1,2\n", "text/csv"),
    "binary": (bytes(range(256)) * 10, "text/csv"),
    "png-as-csv": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "text/csv"),
    "json-that-is-none": (b"[{]", "application/json"),
    "json-of-numbers": (b"[1,2,3]", "application/json"),
    "ndjson-half": (b'{"a": 1}\n{"a": ', "application/x-ndjson"),
    "parquet-that-is-none": (b"PAR1" + b"x" * 100 + b"PAR1", "application/vnd.apache.parquet"),
    "parquet-cut": (parquet()[:-20], "application/vnd.apache.parquet"),
}
NAMES = [
    "../../etc/passwd.csv",
    "C:\\x\\y.csv",
    "a\tb.csv",
    "ä😀.csv",
    "x" * 300 + ".csv",
    ".csv",
    "a;b=c.csv",
    '"q".csv',
]


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_in_every_form(client: TestClient, form: str) -> None:
    body, content_type = FORMS[form]
    answer = client.post("/v1/datasets?name=t", content=body, headers={"content-type": content_type})
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert (dataset["status"], dataset["num_rows"], dataset["size_bytes"]) == ("ready", 3, len(body))
    assert dataset["sha256"] == hashlib.sha256(body).hexdigest()
    assert [column["name"] for column in dataset["columns"]] == ["color", "size"]
    assert client.get(answer.headers["location"]).json() == dataset
    assert client.get(f"{answer.headers['location']}/rows").json()["data"] == ROWS
    assert client.get(f"{answer.headers['location']}/content").content == body


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_table_is_refused_and_not_stored(app: FastAPI, client: TestClient, fault: str) -> None:
    before = everything(app)
    body, content_type = REFUSED[fault]
    answer = client.post("/v1/datasets?name=t", content=body, headers={"content-type": content_type})
    assert answer.status_code in (415, 422)
    assert_problem(answer, answer.status_code, answer.json()["error"]["code"])
    assert everything(app) == before


def test_a_form_with_a_file_is_read(client: TestClient) -> None:
    answer = client.post("/v1/datasets", files={"file": ("colors.csv", TABLE, "text/csv")})
    assert (answer.status_code, answer.json()["name"]) == (201, "colors")
    assert answer.json()["source"]["filename"] == "colors.csv"
    assert client.get(f"{answer.headers['location']}/content").content == TABLE


@pytest.mark.parametrize("filename", NAMES)
def test_a_file_name_is_text_and_never_a_path(client: TestClient, settings: Settings, filename: str) -> None:
    answer = client.post("/v1/datasets?name=t", files={"file": (filename, TABLE, "text/csv")})
    assert answer.status_code == 201, answer.text
    shown = answer.json()["source"]["filename"]
    assert len(shown) <= 255
    assert shown.isprintable()
    stored = [path.name for path in settings.data_dir.rglob("*")]
    assert not [name for name in stored if name.endswith((".csv", "passwd"))]
    header = client.get(f"{answer.headers['location']}/content").headers["content-disposition"]
    assert header == 'attachment; filename="t-1.csv"'


@pytest.mark.parametrize("filename", ["..", "../x y.csv", "ä.csv", "-x.csv", ".hidden.csv"])
def test_a_file_name_that_is_no_name_asks_for_one(app: FastAPI, client: TestClient, filename: str) -> None:
    before = everything(app)
    answer = client.post("/v1/datasets", files={"file": (filename, TABLE, "text/csv")})
    assert assert_problem(answer, 422, "validation-failed")["errors"][0]["pointer"] == "query:name"
    assert everything(app) == before


def form(*parts: bytes, boundary: bytes = b"xx", end: bytes = b"--xx--\r\n") -> dict[str, Any]:
    """A multipart body written by hand."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end
    return {"content": body, "headers": {"content-type": "multipart/form-data; boundary=xx"}}


FILE = b'content-disposition: form-data; name="file"; filename="a.csv"\r\ncontent-type: text/csv\r\n\r\n' + TABLE


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (form(FILE), 201),
        (form(FILE, end=b""), 400),
        (form(FILE, FILE), 400),
        (form(FILE.replace(b'"file"', b'"other"')), 422),
        (form(b'content-disposition: form-data; name="file"\r\n\r\nx'), 422),
        (form(*[b'content-disposition: form-data; name="a"\r\n\r\nx'] * 20), 400),
        (form(b"no headers at all"), 400),
        (form(b'content-disposition: form-data; name="a"\r\n\r\n' + b"x" * 2_000_000), 400),
        (form(b"x-y: " + b"z" * 100_000 + b"\r\n\r\n"), 400),
        ({"content": TABLE, "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"\r\n" * 100_000, "headers": {"content-type": "multipart/form-data; boundary=xx"}}, 400),
        ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=xx"}}, 400),
        ({"content": TABLE, "headers": {"content-type": "multipart/mixed; boundary=xx"}}, 415),
    ],
    ids=["good", "cut", "two-files", "other-name", "no-file", "fields", "no-headers", "big-field", "big-header",
         "no-boundary", "junk", "nothing", "mixed"],
)  # fmt: skip
def test_a_broken_form_is_refused(app: FastAPI, client: TestClient, request_: dict[str, Any], status: int) -> None:
    before = everything(app)
    answer = client.post("/v1/datasets?name=t", **request_)
    assert answer.status_code == status, answer.text
    if status != 201:
        assert_problem(answer, status, answer.json()["error"]["code"])
        assert everything(app) == before


def test_the_same_name_again_is_a_new_version(client: TestClient) -> None:
    versions = [
        client.post("/v1/datasets?name=t", content=TABLE + b"red,%d\n" % n, headers=CSV).json()["version"]
        for n in range(3)
    ]
    assert versions == [1, 2, 3]
    assert [d["version"] for d in client.get("/v1/datasets?name=t").json()["data"]] == [3, 2, 1]


def test_uploads_at_once_get_numbers_of_their_own(client: TestClient) -> None:
    def upload(number: int) -> Any:
        return client.post("/v1/datasets?name=t", content=TABLE + b"red,%d\n" % number, headers=CSV).json()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(dataset["version"] for dataset in pool.map(upload, range(4))) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", ".x", "-x", "ä", "x" * 129, "a/b", "a\nb"])
def test_an_odd_name_is_refused_before_the_body_is_read(app: FastAPI, client: TestClient, name: str) -> None:
    before = everything(app)
    answer = client.post("/v1/datasets", params={"name": name}, content=TABLE, headers=CSV)
    assert_problem(answer, 422, "validation-failed")
    assert everything(app) == before


@pytest.mark.parametrize(
    ("limits", "status"),
    [({"max_columns": 1}, 413), ({"max_cells": 3}, 413), ({"max_upload_bytes": 20}, 413)],
)
def test_a_table_over_a_limit_is_refused(app: FastAPI, client: TestClient, limits: dict[str, int], status: int) -> None:
    app.state.settings = app.state.settings.model_copy(update=limits)
    before = everything(app)
    answer = client.post("/v1/datasets?name=t", content=TABLE, headers=CSV)
    assert_problem(answer, status, "too-large")
    assert everything(app) == before


def test_rows_are_read_in_pages(client: TestClient, dataset_id: str, trained: Trained) -> None:
    url = f"/v1/datasets/{dataset_id}/rows"
    first = client.get(url).json()
    assert (first["offset"], first["num_rows"], len(first["data"])) == (0, trained.num_rows, 20)
    assert first["data"][0]["species"] == "Adelie"
    pages = [client.get(f"{url}?offset={offset}&limit=100").json()["data"] for offset in (0, 100, 200, 300)]
    assert [len(page) for page in pages] == [100, 100, 100, trained.num_rows - 300]
    assert client.get(f"{url}?offset={trained.num_rows}").json()["data"] == []
    assert client.get(f"{url}?offset=10&limit=1").json()["data"] == [pages[0][10]]


def test_the_profile_tells_what_is_in_the_columns(client: TestClient, dataset_id: str) -> None:
    profile = client.get(f"/v1/datasets/{dataset_id}/profile").json()
    assert (profile["dataset"], profile["num_columns"]) == (dataset_id, 8)
    assert {column["name"] for column in profile["columns"]} >= {"species", "bill_length_mm"}


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=0-999999999", 206, slice(0, None)),
        ("bytes=-5", 200, slice(0, None)),
        ("bytes=5-1", 200, slice(0, None)),
        ("bytes=0-1,5-6", 200, slice(0, None)),
        ("bytes=" + "0-1," * 3000, 200, slice(0, None)),
        ("lines=1-2", 200, slice(0, None)),
        ("bytes=x", 200, slice(0, None)),
        ("", 200, slice(0, None)),
    ],
)
def test_a_download_can_be_taken_up_again(
    client: TestClient, trained: Trained, dataset_id: str, header: str, status: int, part: slice
) -> None:
    answer = client.get(f"/v1/datasets/{dataset_id}/content", headers={"range": header})
    assert (answer.status_code, answer.content) == (status, trained.sent[part])
    assert answer.headers["etag"] == f'"{hashlib.sha256(trained.sent).hexdigest()}"'
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_range_behind_the_end_is_416(client: TestClient, trained: Trained, dataset_id: str) -> None:
    answer = client.get(f"/v1/datasets/{dataset_id}/content", headers={"range": f"bytes={len(trained.sent)}-"})
    assert_problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(trained.sent)}"


def test_a_deleted_data_set_is_gone_and_its_name_goes_on(client: TestClient, dataset_id: str) -> None:
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    for path in ("", "/rows", "/profile", "/content"):
        assert client.get(f"/v1/datasets/{dataset_id}{path}").status_code == 404
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 404


def test_what_a_job_learned_from_cannot_be_deleted(app: FastAPI, client: TestClient, dataset_id: str) -> None:
    client.post("/v1/jobs", json={"dataset": dataset_id, "target": "species"})
    assert_problem(client.delete(f"/v1/datasets/{dataset_id}"), 409, "in-use")
    assert client.get(f"/v1/datasets/{dataset_id}/rows").status_code == 200


def test_jobs_and_deletes_at_once_leave_no_job_without_its_data_set(client: TestClient, dataset_id: str) -> None:
    def act(number: int) -> int:
        if number % 2:
            body = {"dataset": dataset_id, "target": "species"}
            return int(client.post("/v1/jobs", json=body).status_code)
        return int(client.delete(f"/v1/datasets/{dataset_id}").status_code)

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(act, range(6)))
    assert set(statuses) <= {201, 204, 404, 409}
    is_there = client.get(f"/v1/datasets/{dataset_id}").status_code == 200
    assert is_there == bool(client.get("/v1/jobs").json()["data"])


def test_the_same_bytes_in_two_projects_are_two_data_sets(client: TestClient, stranger: dict[str, str]) -> None:
    mine = client.post("/v1/datasets?name=t", content=TABLE, headers=CSV).json()
    theirs = client.post("/v1/datasets?name=t", content=TABLE, headers=CSV | stranger).json()
    assert mine["version"] == theirs["version"] == 1
    assert mine["id"] != theirs["id"]
    assert client.delete(f"/v1/datasets/{theirs['id']}", headers=stranger).status_code == 204
    assert client.get(f"/v1/datasets/{mine['id']}/content").content == TABLE
