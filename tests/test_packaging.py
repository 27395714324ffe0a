"""What is installed and shipped: locks, the wheel, the container files, the Makefile's promises."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from tests.conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCKS = ("core", "dev")
VARIABLES = {f"MAAS_{name.upper()}" for name in Settings.model_fields}
IN_WHEEL = (
    "app/cli.py",
    "app/examples/penguins.csv",
    "app/migrations/env.py",
    "app/migrations/script.py.mako",
    "maas-*.dist-info/licenses/LICENSE",
)


def pins(name: str) -> dict[str, str]:
    """The names and versions that a lock pins."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", [*LOCKS, "generators"])
def test_a_lock_holds_no_torch_no_cuda_no_index_and_no_path(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not [pin for pin in pins(name) if re.match(r"torch|nvidia|triton$|cuda", pin)]
    assert "://" not in text
    assert "/" not in text
    for line in text.splitlines():
        assert re.match(r"#|\s|[a-z0-9._-]+==\S+( ; .+)?$", line), line


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_dependency_but_torch(name: str) -> None:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]]
    names = {re.split(r"[\[<>=;\s]", each)[0].replace("_", "-") for each in wanted}
    assert names - {"torch"} <= set(pins(name))


def test_the_lock_of_the_generators_in_node_holds_versions_and_digests_but_no_registry() -> None:
    folder = ROOT / "requirements" / "node"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert locked.pop("")["dependencies"] == wanted
    for name, pin in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == pin
    for name, package in locked.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_the_generators_are_installed_before_any_test_runs() -> None:
    assert "requirements/generators.txt" in dry_run("test", f"GENERATORS={ROOT / 'none'}")
    assert "npm ci" in dry_run("test", f"GENERATORS={ROOT / 'none'}")


def test_torch_is_pinned_apart_to_the_version_that_is_installed() -> None:
    assert pins("torch") == {"torch": "2.13.0"}
    assert version("torch").partition("+")[0] == "2.13.0"


def test_what_is_installed_is_what_is_locked() -> None:
    wrong = {name: pin for name, pin in pins("core").items() if version(name) != pin}
    assert wrong == {}, "run make setup"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `pip install .` builds it, and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("maas-*.whl"))) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_the_wheel_holds_migrations_example_and_licence_and_no_tests(wheel: Path) -> None:
    for pattern in IN_WHEEL:
        assert list(wheel.glob(pattern)), pattern
    assert not (wheel / "tests").exists()
    assert not list(wheel.rglob("*.pyc"))
    assert "maas = app.cli:main" in next(wheel.glob("*.dist-info/entry_points.txt")).read_text()


def test_the_wheel_migrates_a_database_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    # -B: what is run here must leave the wheel as it is, for the test that looks into it.
    command = [sys.executable, "-B", "-m", "app.cli", "migrate", "--data-dir", "data"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(wheel)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "maas.db").stat().st_size > 0


def test_compose_has_database_api_and_worker_that_share_the_data() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "api", "worker"}
    assert services["postgres"]["image"] == "postgres:15"
    assert services["api"]["volumes"] == services["worker"]["volumes"] == ["data:/data"]
    assert services["worker"]["command"] == ["worker"]
    assert set(COMPOSE["volumes"]) == {"data", "postgres"}
    for service in ("api", "worker"):
        assert services[service]["environment"]["MAAS_EMBEDDED_WORKER"] == "false"
    for name, condition in services["api"]["depends_on"].items():
        assert services[name]["healthcheck"]
        assert condition == {"condition": "service_healthy"}


def test_compose_demands_a_password_and_opens_the_api_to_this_machine_only() -> None:
    services = COMPOSE["services"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert services["api"]["environment"]["PGPASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert services["api"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "ports" not in services["postgres"]


def test_container_files_name_real_settings_only() -> None:
    used = set(re.findall(r"MAAS_\w+", DOCKERFILE + (ROOT / "docker-compose.yml").read_text()))
    assert used
    assert used <= VARIABLES


def test_the_image_is_built_from_what_the_context_holds() -> None:
    shipped = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(each, f"{source.rstrip('/')}*") for each in shipped), source


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert re.findall(r"^USER (\w+)$", final, re.MULTILINE) == ["maas"]
    assert "/healthz" in re.search(r"^HEALTHCHECK (?:.*\\\n)*.*$", final, re.MULTILINE)[0]  # type: ignore[index]
    assert 'ENTRYPOINT ["maas"]' in final
    assert "maas" in PROJECT["scripts"]


def test_ci_is_a_program_that_bash_can_read() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def test_the_makefile_is_read_by_make_and_setup_has_nothing_to_do_twice(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.touch()
    assert "Nothing to be done" in dry_run("setup", f"STAMP={stamp}")
    assert "requirements/torch.txt" in dry_run("setup", f"STAMP={tmp_path / 'none'}")


def dry_run(target: str, *variables: str) -> str:
    """What make would run."""
    command = ["make", "--dry-run", target, *variables]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
