"""The tus 1.0 protocol: what each request is answered, what is kept, and what becomes of a whole upload."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.column_types import now
from app.settings import Settings
from app.tables import DatasetRow, JobRow, UploadRow
from app.uploads.place import Place
from tests.counts import everything
from tests.test_errors import assert_problem

TABLE = b"color,size\nred,1\nblue,2.5\nred,\n"
TUS = {"tus-resumable": "1.0.0"}
PART = TUS | {"content-type": "application/offset+octet-stream"}


def encoded(text: str) -> str:
    """A value of Upload-Metadata."""
    return base64.b64encode(text.encode()).decode()


METADATA = f"filename {encoded('colors.csv')},filetype {encoded('text/csv')}"
ANNOUNCED = TUS | {"upload-length": str(len(TABLE)), "upload-metadata": METADATA}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with a small limit."""
    return settings.model_copy(update={"max_upload_bytes": 4096})


@pytest.fixture
def path(client: TestClient) -> str:
    """Where an announced upload is."""
    answer = client.post("/v1/uploads", headers=ANNOUNCED)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "0"), answer.text
    return str(answer.headers["location"])


def patch(client: TestClient, path: str, content: bytes, offset: int, **headers: str) -> Any:
    """Send bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(path, content=content, headers={**PART, "upload-offset": str(offset), **named})


def offset(client: TestClient, path: str) -> int:
    """How many bytes are acknowledged."""
    answer = client.head(path, headers=TUS)
    assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    return int(answer.headers["upload-offset"])


def place(app: FastAPI) -> Place:
    """The place of uploads."""
    state = app.state
    return Place(state.settings, state.sessions, state.read_sessions, state.storage)


def files(app: FastAPI) -> set[str]:
    """The names of unfinished files."""
    return {path.name for path in place(app).parts.folder.glob("*")}


def test_anybody_learns_what_is_spoken(anonymous: TestClient) -> None:
    answer = anonymous.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation", "creation-with-upload", "checksum", "expiration", "termination"
    }  # fmt: skip
    assert answer.headers["tus-max-size"] == "4096"
    assert "sha256" in answer.headers["tus-checksum-algorithm"]


def test_a_file_in_parts_becomes_a_data_set(app: FastAPI, client: TestClient, path: str) -> None:
    for start in range(0, len(TABLE), 10):
        assert offset(client, path) == start
        answer = patch(client, path, TABLE[start : start + 10], start)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
        assert "upload-expires" in answer.headers
        assert answer.headers["tus-resumable"] == "1.0.0"
    dataset = client.get(answer.headers["content-location"]).json()
    assert (dataset["status"], dataset["name"], dataset["format"]) == ("processing", "colors", "csv")
    assert (dataset["sha256"], dataset["size_bytes"]) == (hashlib.sha256(TABLE).hexdigest(), len(TABLE))
    shown = client.get(path).json()
    assert (shown["status"], shown["dataset_id"]) == ("complete", dataset["id"])
    assert app.state.storage.verified_path(dataset["sha256"]).read_bytes() == TABLE
    assert files(app) == set()
    again = patch(client, path, b"", len(TABLE))
    assert (again.status_code, again.headers["content-location"]) == (204, f"/v1/datasets/{dataset['id']}")
    with app.state.sessions.begin() as session:
        assert session.query(JobRow).count() == session.query(DatasetRow).count() == 1


def test_a_file_may_come_with_its_announcement(client: TestClient) -> None:
    first = client.post("/v1/uploads", headers=ANNOUNCED | PART, content=TABLE[:7])
    assert (first.status_code, first.headers["upload-offset"], first.json()["offset_bytes"]) == (201, "7", 7)
    whole = client.post("/v1/uploads", headers=ANNOUNCED | PART, content=TABLE)
    assert whole.json()["dataset_id"] == whole.headers["content-location"].rpartition("/")[2]


CREATES: dict[str, tuple[dict[str, str], int, str]] = {
    "no-version": ({"tus-resumable": ""}, 412, "tus-version"),
    "other-version": ({"tus-resumable": "0.2.2"}, 412, "tus-version"),
    "no-length": ({"upload-length": ""}, 400, "malformed-tus"),
    "negative-length": ({"upload-length": "-1"}, 400, "malformed-tus"),
    "length-with-sign": ({"upload-length": "+1"}, 400, "malformed-tus"),
    "endless-length": ({"upload-length": "9" * 30}, 400, "malformed-tus"),
    "deferred-length": ({"upload-defer-length": "1"}, 400, "malformed-tus"),
    "too-long": ({"upload-length": "4097"}, 413, "too-large"),
    "empty": ({"upload-length": "0"}, 422, "dataset-invalid"),
    "metadata-not-base64": ({"upload-metadata": "name ###"}, 400, "malformed-tus"),
    "metadata-not-text": ({"upload-metadata": "name /w=="}, 400, "malformed-tus"),
    "metadata-twice": ({"upload-metadata": "name YQ==,name YQ=="}, 400, "malformed-tus"),
    "metadata-without-key": ({"upload-metadata": ","}, 400, "malformed-tus"),
    "metadata-endless": ({"upload-metadata": "name " + "YQ==" * 3000}, 400, "malformed-tus"),
    "no-name": ({"upload-metadata": ""}, 422, "validation-failed"),
    "odd-name": ({"upload-metadata": f"name {encoded('a/b')}"}, 422, "validation-failed"),
    "compressed": ({"content-encoding": "gzip"}, 415, "unsupported-media-type"),
}  # fmt: skip


@pytest.mark.parametrize("fault", CREATES)
def test_what_cannot_be_announced_is_refused(app: FastAPI, client: TestClient, fault: str) -> None:
    headers, status, code = CREATES[fault]
    before = everything(app)
    answer = client.post("/v1/uploads", headers=ANNOUNCED | headers)
    assert_problem(answer, status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert everything(app) == before
    assert files(app) == set()


PATCHES: dict[str, tuple[dict[str, str], bytes, int, str]] = {
    "no-version": ({"tus-resumable": ""}, b"x", 412, "tus-version"),
    "other-type": ({"content-type": "text/csv"}, b"x", 415, "unsupported-media-type"),
    "no-offset": ({"upload-offset": ""}, b"x", 400, "malformed-tus"),
    "odd-offset": ({"upload-offset": "-5"}, b"x", 400, "malformed-tus"),
    "offset-before": ({"upload-offset": "3"}, b"x", 409, "offset-mismatch"),
    "offset-behind": ({"upload-offset": "6"}, b"x", 409, "offset-mismatch"),
    "too-much": ({}, TABLE, 413, "too-large"),
    "unknown-checksum": ({"upload-checksum": "crc32 AAAA"}, b"x", 400, "malformed-tus"),
    "odd-checksum": ({"upload-checksum": "sha256 AAAA"}, b"x", 400, "malformed-tus"),
    "wrong-checksum": ({"upload-checksum": f"sha1 {encoded('x' * 20)}"}, b"x", 460, "checksum-mismatch"),
    "wrong-digest": ({"content-digest": f"sha-256=:{encoded('x' * 32)}:"}, b"x", 422, "digest-mismatch"),
    "compressed": ({"content-encoding": "zstd"}, b"x", 415, "unsupported-media-type"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PATCHES)
def test_a_refused_part_changes_nothing(client: TestClient, path: str, fault: str) -> None:
    headers, content, status, code = PATCHES[fault]
    patch(client, path, TABLE[:5], 0)
    answer = client.patch(path, content=content, headers={**PART, "upload-offset": "5", **headers})
    assert_problem(answer, status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert offset(client, path) == 5
    final = patch(client, path, TABLE[5:], 5)
    assert final.status_code == 204
    shown = client.get(final.headers["content-location"]).json()
    assert shown["sha256"] == hashlib.sha256(TABLE).hexdigest()


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_part_that_is_what_its_checksum_says_is_kept(client: TestClient, path: str, algorithm: str) -> None:
    digest = base64.b64encode(hashlib.new(algorithm, TABLE[:9]).digest()).decode()
    assert patch(client, path, TABLE[:9], 0, upload_checksum=f"{algorithm} {digest}").status_code == 204
    assert offset(client, path) == 9


def test_a_body_longer_than_announced_is_refused_when_its_size_is_not_declared(client: TestClient, path: str) -> None:
    headers = {**PART, "upload-offset": "0"}
    assert_problem(client.patch(path, content=iter([TABLE, b"x"]), headers=headers), 413, "too-large")
    assert offset(client, path) == 0


def test_one_request_writes_at_a_time(app: FastAPI, client: TestClient, path: str) -> None:
    with (place(app).parts.folder / path.rpartition("/")[2]).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert_problem(patch(client, path, TABLE, 0), 423, "locked")
        assert_problem(client.delete(path, headers=TUS), 423, "locked")
        assert offset(client, path) == 0
    assert patch(client, path, TABLE, 0).status_code == 204


def test_what_is_nothing_that_is_read_here_is_dropped(app: FastAPI, client: TestClient) -> None:
    before = everything(app)
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
    path = client.post("/v1/uploads", headers=ANNOUNCED | {"upload-length": str(len(png))}).headers["location"]
    answer = patch(client, path, png, 0)
    assert answer.status_code in (415, 422), answer.text
    assert client.head(path, headers=TUS).status_code == 404
    assert everything(app) == before
    assert files(app) == set()


def test_an_upload_can_be_dropped(app: FastAPI, client: TestClient, path: str) -> None:
    patch(client, path, TABLE[:9], 0)
    assert client.delete(path, headers=TUS).status_code == 204
    assert files(app) == set()
    for answer in (client.head(path, headers=TUS), client.get(path), client.delete(path, headers=TUS)):
        assert answer.status_code == 404


def test_a_stranger_finds_no_upload(client: TestClient, path: str, stranger: dict[str, str]) -> None:
    headers = {**PART, "upload-offset": "0", **stranger}
    assert client.patch(path, content=TABLE, headers=headers).status_code == 404
    assert client.head(path, headers=headers).status_code == 404
    assert client.delete(path, headers=headers).status_code == 404
    assert offset(client, path) == 0


def test_what_expired_is_gone_and_its_bytes_are_swept(app: FastAPI, client: TestClient, path: str) -> None:
    patch(client, path, TABLE[:9], 0)
    live = client.post("/v1/uploads", headers=ANNOUNCED).json()["id"]
    with app.state.sessions.begin() as session:
        session.get_one(UploadRow, path.rpartition("/")[2]).expires_at = now() - timedelta(seconds=1)
    assert client.head(path, headers=TUS).status_code == 404
    assert len(files(app)) == 2
    place(app).sweep(grace_seconds=0)
    assert files(app) == {live}


def _crash(_: object, *__: object, **___: object) -> None:
    raise RuntimeError("as if killed here")


@pytest.mark.parametrize("step", ["draft", "adopt", "accept", "remove"])
@pytest.mark.parametrize("rescue", ["head", "patch", "sweep"])
def test_a_completion_that_was_cut_short_at_any_step_is_taken_up(
    app: FastAPI, client: TestClient, path: str, monkeypatch: pytest.MonkeyPatch, step: str, rescue: str
) -> None:
    row_id = path.rpartition("/")[2]
    ours = place(app)
    patch(client, path, TABLE[:9], 0)
    where = {
        "draft": "app.uploads.place.intake.draft",
        "adopt": "app.storage.Storage.adopt",
        "accept": "app.uploads.place.datasets.accept",
        "remove": "app.uploads.part.Parts.remove",
    }
    with monkeypatch.context() as patched:
        patched.setattr(where[step], _crash)
        assert patch(client, path, TABLE[9:], 9).status_code == 500
    if rescue == "patch":
        assert patch(client, path, b"", len(TABLE)).status_code == 204
    elif rescue == "head":
        assert offset(client, path) == len(TABLE)
    else:
        ours.sweep(grace_seconds=0)
    shown = client.get(path).json()
    assert (shown["id"], shown["status"]) == (row_id, "complete")
    with app.state.sessions.begin() as session:
        assert session.query(DatasetRow).count() == session.query(JobRow).count() == 1
    ours.sweep(grace_seconds=0)
    assert files(app) == set()


def test_a_key_that_may_not_write_may_not_look_either(
    client: TestClient, path: str, new_key: Callable[..., dict[str, str]]
) -> None:
    assert client.get(path, headers=new_key("read")).status_code == 403


def test_metadata_says_how_the_file_is_written(client: TestClient, app: FastAPI) -> None:
    told = (
        f"{METADATA},on_bad_lines {encoded('skip')},types {encoded(json.dumps({'size': 'text'}))},mood {encoded('x')}"
    )
    path = client.post("/v1/uploads", headers=ANNOUNCED | {"upload-metadata": told}).headers["location"]
    assert patch(client, path, TABLE, 0).status_code == 204
    with app.state.read_sessions.begin() as session:
        options = session.query(JobRow).one().plan["order"]["options"]
    assert (options["on_bad_lines"], options["types"]) == ("skip", {"size": "text"})


def test_metadata_that_cannot_be_is_refused_before_a_byte_is_sent(client: TestClient, app: FastAPI) -> None:
    told = f"{METADATA},delimiter {encoded(';;')}"
    answer = client.post("/v1/uploads", headers=ANNOUNCED | {"upload-metadata": told})
    assert_problem(answer, 422, "validation-failed")
    assert answer.json()["errors"][0]["pointer"] == "header:upload-metadata"
    assert files(app) == set()
