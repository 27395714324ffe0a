"""What the documents say is what the code does: the README's tour runs, tables and links are true."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from app import cli, errors
from app.learning import errors as learning_errors
from app.web.problems import BY_STATUS
from tests.conftest import ROOT
from tests.processes import Server

README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE_ROW = re.compile(r"^\| `([a-z-]+)` \|(?: (\d{3}) \|)?", re.MULTILINE)
HEADINGS = ["Context", "Decision", "Consequences", "Alternatives", "References"]
LEARNING_ERRORS = {
    name: each
    for name, each in vars(learning_errors).items()
    if inspect.isclass(each) and issubclass(each, learning_errors.LearningError)
}
MAAS_ERRORS = {
    name: each for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, errors.MaasError)
}


def blocks(language: str) -> list[str]:
    """The code blocks of the README in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """docs/tables.py, which is a program and no part of the package."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_curl_tour_of_the_readme_runs(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "maas-data").symlink_to(server.folder)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    script = "set -euo pipefail\n" + "\n".join(blocks("bash")).replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=150, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "event: done" in done.stdout
    assert '"status":"succeeded"' in done.stdout
    assert done.stdout.count('"predictions":') == 2
    assert '"unseen-category"' in done.stdout


def test_every_call_of_the_tour_is_needed_to_be_good(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "maas-data").symlink_to(server.folder)
    start = blocks("bash")[0].replace("http://127.0.0.1:8000", server.url)
    script = f'set -euo pipefail\n{start}\ncall "$URL/v1/models/nothing"'
    assert subprocess.run(["bash", "-c", script], capture_output=True, check=False, cwd=tmp_path).returncode != 0


def commands() -> dict[str, Any]:
    """Every command by the words that call it."""

    def below(group: Any, words: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, f"{words} {name}")
            else:
                yield f"{words} {name}", command

    return dict(below(typer.main.get_command(cli.app), "maas"))


def test_every_command_that_a_document_names_exists_with_its_options() -> None:
    known = commands()
    for path in DOCUMENTS:
        for line in re.findall(r"^(?:\.venv/bin/)?(maas [a-z][^#\n]*?)(?:\s{3,}|$)", path.read_text(), re.MULTILINE):
            words = next((each for each in known if f"{line} ".startswith(f"{each} ")), None)
            assert words is not None, f"{path.name}: {line}"
            options = {option for parameter in known[words].params for option in parameter.opts}
            assert set(re.findall(r"(?<= )--[a-z-]+", line)) <= options, f"{path.name}: {line}"


def test_the_tables_of_the_reference_are_those_of_the_code(tables: ModuleType) -> None:
    stale = [path.name for path in DOCUMENTS if tables.renew(path.read_text()) != path.read_text()]
    assert stale == [], "run: python docs/tables.py"
    regions = [name for path in DOCUMENTS for _, name, _ in tables.REGION.findall(path.read_text())]
    assert sorted(regions) == sorted(["settings", "http", "cli", "steps", "failures", *tables.MODELS])


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the service with the last name of what is called."""
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield getattr(node.func, "id", getattr(node.func, "attr", "")), node


def constants(node: ast.Call) -> dict[str, Any]:
    """The keyword arguments of a call that are literals."""
    found = {each.arg: each.value for each in node.keywords if each.arg is not None}
    return {name: value.value for name, value in found.items() if isinstance(value, ast.Constant)}


def codes_of_answers() -> dict[str, int]:
    """Code and status of every refusal in the code."""
    codes = {each.code: each.status for name, each in MAAS_ERRORS.items() if name != "MaasError"}
    codes |= {code: status for status, (code, _) in BY_STATUS.items()}
    for name, node in calls():
        given = constants(node)
        if name == "_refuse" and len(node.args) == 3 and all(isinstance(each, ast.Constant) for each in node.args[:2]):
            status, code = (each.value for each in node.args[:2] if isinstance(each, ast.Constant))
            codes[str(code)] = int(str(status))
        elif given.get("code") and (name in MAAS_ERRORS or "status" in given):
            codes[given["code"]] = MAAS_ERRORS[name].status if name in MAAS_ERRORS else given["status"]
    return codes


def codes_of_jobs() -> set[str]:
    """Codes with which jobs fail: those of learning, of the worker, and of stored bytes."""
    codes = {each.code for each in LEARNING_ERRORS.values()} | {"internal", errors.Corrupt.code}
    codes |= {
        constants(node)["code"] for name, node in calls() if name in LEARNING_ERRORS and "code" in constants(node)
    }
    for name, node in calls():
        if name == "_error" and node.args and isinstance(node.args[0], ast.Constant):
            codes.add(str(node.args[0].value))
    # Jobs that make data sets fail as the request would that reads a small file at once.
    codes |= {"dataset-invalid", errors.TooLarge.code, errors.UnsupportedMedia.code}
    queue = (ROOT / "app" / "jobs" / "queue.py").read_text()
    return codes | set(re.findall(r'"code": "([a-z-]+)"', queue))


def test_the_error_codes_of_the_reference_are_those_of_the_code() -> None:
    answers, jobs = (ROOT / "docs/reference/errors.md").read_text().split("## Errors of jobs")
    documented = {code: int(status) for code, status in CODE_ROW.findall(answers)}
    assert documented == codes_of_answers()
    assert {code for code, _ in CODE_ROW.findall(jobs)} == codes_of_jobs()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_document_is_listed() -> None:
    for folder in (ROOT / "docs", ROOT / "docs" / "decisions"):
        listed = {(folder / target).resolve() for target in LINK.findall((folder / "README.md").read_text())}
        inside = folder.rglob("*.md") if folder.name == "docs" else folder.glob("*.md")
        needed = {path for path in inside if path.name != "README.md"}
        if folder.name == "docs":
            needed = {path for path in needed if path.parent.name != "decisions"}
        assert needed <= listed


def test_every_decision_has_the_five_headings_and_fits_a_page() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for path in records:
        assert re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE) == HEADINGS, path.name
        assert len(path.read_text().splitlines()) <= 60, path.name


def test_the_two_commands_of_the_readme_are_targets_and_ci_calls_them() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
    assert named == {"demo", "test"}
    assert named | {"setup", "run", "check", "migrate"} <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    assert shutil.which("make")
