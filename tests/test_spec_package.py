"""The example package with a spec: built, installed, served, trained over HTTP, confined, predicted with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PENGUINS, ROOT
from tests.jobs.runs import submit, wait
from tests.processes import Server
from tests.trained import ROW

PACKAGE = ROOT / "examples" / "spec-package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package was installed into, from its wheel."""
    folder = tmp_path_factory.mktemp("package")
    source = shutil.copytree(PACKAGE, folder / "source")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    wheel = next(folder.glob("bent_spec-*.whl"))
    subprocess.run([*install, "--no-deps", "--target", folder / "libraries", wheel], check=True, capture_output=True)
    return folder / "libraries"


@pytest.fixture
def in_development(installed: Path, tmp_path: Path) -> str:
    """The path of a development install: what describes the package lies elsewhere than its code."""
    described = next(installed.glob("*.dist-info"))
    shutil.copytree(described, tmp_path / "described" / described.name)
    source = shutil.copytree(PACKAGE, tmp_path / "checkout")
    return f"{tmp_path / 'described'}{os.pathsep}{source}"


def train_and_predict(server: Server) -> None:
    """Go the whole way with the package's spec."""
    spec = server.http.get("/v1/specs/bent").json()
    assert "steepness" in [parameter["name"] for parameter in spec["parameters"]]
    upload = server.http.post(
        "/v1/datasets?name=penguins", content=PENGUINS.read_bytes(), headers={"content-type": "text/csv"}
    )
    more = {"target": "species", "spec": "bent", "params": {"steepness": 0.5, "epochs": 60}}
    job_id = submit(server, upload.json()["id"], **more)
    job = wait(server, job_id)
    assert job["status"] == "succeeded", server.story(job_id)
    assert "Confined by the kernel." in server.story(job_id)
    manifest = server.http.get("/v1/models/penguins/versions/1").json()["manifest"]
    assert (manifest["spec"]["name"], manifest["spec"]["version"]) == ("bent", 1)
    answer = server.http.post("/v1/models/penguins/predict", json={"rows": [ROW]}).json()
    assert answer["predictions"][0]["label"] == "Gentoo"


def test_an_installed_package_adds_a_spec_that_is_trained_and_served(
    serve: Callable[..., Server], installed: Path
) -> None:
    train_and_predict(serve(PYTHONPATH=f"{ROOT}{os.pathsep}{installed}"))


def test_so_does_one_in_development(serve: Callable[..., Server], in_development: str) -> None:
    train_and_predict(serve(PYTHONPATH=f"{ROOT}{os.pathsep}{in_development}"))


def test_the_packages_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE / "tests", tmp_path / "tests")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{installed}"}
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
