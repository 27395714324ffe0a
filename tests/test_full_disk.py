"""A disk that is full: uploads answer 507 and leave nothing, reads and predictions go on, and space helps at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PENGUINS
from tests.jobs.runs import SOON, submit, upload, wait, wait_for_checkpoint
from tests.processes import Server
from tests.test_errors import assert_problem

SIZE_BYTES = 48 << 20
CSV = {"content-type": "text/csv"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of the server, on a file system of its own."""
    folder = tmp_path / "served"
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0700", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        left = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)
    return path


def trained(server: Server) -> str:
    """A small model on the server; the id of its data set."""
    answer = server.http.post("/v1/datasets?name=penguins", content=PENGUINS.read_bytes(), headers=CSV)
    assert answer.status_code == 201, answer.text
    dataset: str = answer.json()["id"]
    params = {"hidden": [8], "epochs": 2}
    job = wait(server, submit(server, dataset, target="species", model="penguins", params=params))
    assert job["status"] == "succeeded", job
    return dataset


def assert_reads_go_on(server: Server, dataset: str) -> None:
    """What is stored can be read, and the model answers."""
    rows = server.http.get(f"/v1/datasets/{dataset}/rows?limit=2")
    assert (rows.status_code, len(rows.json()["data"])) == (200, 2)
    assert server.http.get(f"/v1/datasets/{dataset}/profile").status_code == 200
    body = {"rows": [{"bill_length_mm": 39.1, "body_mass_g": 3750}]}
    answer = server.http.post("/v1/models/penguins/predict", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["label"]


def test_a_full_disk_refuses_uploads_and_nothing_else(small_disk: Path, serve: Callable[..., Server]) -> None:
    server = serve(**SOON)
    dataset = trained(server)
    known = server.http.get("/v1/datasets").json()
    noise = b"a\n" + b"0.123456789\n" * (SIZE_BYTES // 12)
    assert_problem(server.http.post("/v1/datasets?name=t", content=noise, headers=CSV), 507, "storage-full")
    assert list((small_disk / "incoming").iterdir()) == []
    assert_reads_go_on(server, dataset)

    filler = fill(small_disk)
    small = {"content": b"a\n1\n2\n", "headers": CSV}
    for _ in range(3):
        assert_problem(server.http.post("/v1/datasets?name=t", **small), 507, "storage-full")
        assert_reads_go_on(server, dataset)
    assert server.http.get("/v1/datasets").json() == known

    filler.unlink()
    assert server.http.post("/v1/datasets?name=t", **small).status_code == 201
    assert_reads_go_on(server, dataset)
    assert list((small_disk / "incoming").iterdir()) == []


def test_a_training_outlives_a_disk_that_is_full_for_a_while(small_disk: Path, serve: Callable[..., Server]) -> None:
    server = serve(**SOON)
    dataset = trained(server)
    job = submit(server, upload(server), model="waves")
    wait_for_checkpoint(server, job)
    filler = fill(small_disk)
    time.sleep(3)
    assert_reads_go_on(server, dataset)
    filler.unlink()
    ended = wait(server, job)
    assert ended["status"] == "succeeded", server.story(job)
    assert_reads_go_on(server, dataset)
