"""Packages that add specs: good ones can be named, bad ones are told and harm nobody, none brings torch to the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SPEC = """
from app.learning.spec import Spec, TrainingParams
def build(layout, num_outputs, params, dtype): ...
def num_parameters(layout, num_outputs, params): return {count}
SPEC = Spec("{name}", {version}, "Short.", "ours", ("binary",), TrainingParams, build, num_parameters)
"""


def good(name: str, *, version: str = "1", count: str = "1") -> str:
    """The source of a module with a spec."""
    return SPEC.format(name=name, version=version, count=count)


# The name of the entry point, the module, and what is said of it.
PACKAGES = {
    "good": (good("good"), None),
    "broken": ("raise RuntimeError('at import')", "RuntimeError: at import"),
    "syntax": ("def", "SyntaxError"),
    "leaves": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "absent": (None, "ModuleNotFoundError"),
    "number": ("SPEC = 7", "it is no Spec but of type int"),
    "misnamed": (good("other"), "and the spec 'other'"),
    "bad name": (good("bad name"), "its entry point is named 'bad name'"),
    "text": (good("text", version="'1'"), "its version is not a whole number"),
    "uncounted": (good("uncounted", count="1 / 0"), "ZeroDivisionError"),
    "dense": (good("dense"), "a spec of the service has this name"),
    "heavy": ("import torch\n" + good("heavy"), "must import torch inside of `build`"),
    "twice": (good("twice"), None),
}
ASK = """
import json, logging, sys
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
from starlette.testclient import TestClient
from app.cli_doctor import check_specs
from app.main import create_app
from app.settings import load
settings = load(environ={}, data_dir=sys.argv[1])
settings.data_dir.mkdir()
from app.accounts.bootstrap import ensure_admin_key
from app import database
from dataclasses import asdict
engine = database.connect(settings.url)
database.migrate(engine)
key = ensure_admin_key(database.sessions(engine), settings.data_dir)
headers = {"authorization": f"Bearer {key}"}
with TestClient(create_app(settings), base_url="http://127.0.0.1", headers=headers) as client:
    listed = client.get("/v1/specs?limit=1000").json()
print(json.dumps([listed, "torch" in sys.modules, asdict(check_specs())]))
"""


def install(folder: Path, package: str, name: str, source: str | None) -> None:
    """Lay a package into a folder as pip would."""
    module = "".join(letter for letter in package if letter.isalpha())
    described = folder / f"{module}-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[maas.specs]\n{name} = {module}_module:SPEC\n")
    if source is not None:
        (folder / f"{module}_module.py").write_text(source)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], str]:
    """What a service with all these packages lists, and its log."""
    folder = tmp_path_factory.mktemp("packages")
    for name, (source, _) in PACKAGES.items():
        install(folder, name, name, source)
    install(folder, "zweites", "twice", good("twice"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-P", "-c", ASK, str(tmp_path_factory.mktemp("service") / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_package_that_cannot_be_used_keeps_no_server_from_listing_the_others(
    answered: tuple[list[Any], str],
) -> None:
    (listed, _, _), _ = answered
    names = [spec["name"] for spec in listed["data"]]
    assert set(names) >= {"good", "twice", "dense", "linear"}
    assert not {name for name, (_, fault) in PACKAGES.items() if fault} & (set(names) - {"dense"})
    assert len(names) == len(set(names))


def test_no_package_brings_torch_into_the_api_process(answered: tuple[list[Any], str]) -> None:
    (_, has_torch, _), _ = answered
    assert has_torch is False


@pytest.mark.parametrize("name", [name for name, (_, fault) in PACKAGES.items() if fault])
def test_the_log_and_the_doctor_say_what_is_wrong_with_a_package(answered: tuple[list[Any], str], name: str) -> None:
    (_, _, finding), log = answered
    package, fault = "".join(filter(str.isalpha, name)), PACKAGES[name][1]
    assert fault is not None
    line = next(line for line in log.splitlines() if f"spec {name} of the package {package} 1.0 is left out" in line)
    assert line.startswith("WARNING maas.specs")
    assert fault in line
    assert finding["status"] == "warn"
    assert f"{name} of {package} 1.0: " in finding["detail"]


def test_of_two_packages_with_one_name_the_first_by_name_wins(answered: tuple[list[Any], str]) -> None:
    _, log = answered
    assert "spec twice of the package zweites 1.0 is left out: the package twice 1.0 offers this name, too" in log
