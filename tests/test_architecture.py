"""The shape of the code: who imports whom, how big things are, what is banned, what the API process loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings
from tests import rules
from tests.rules import Rule, Source, sources
from tests.trained import ROW

ROOT = Path(__file__).parents[1]
APP = sources(ROOT, "app")
RULES: tuple[Rule, ...] = (
    rules.learning_stands_alone,
    rules.base_files_know_no_feature,
    rules.features_follow_arrows,
    rules.nobody_imports_entry_points,
    rules.only_edges_import_the_web,
    rules.only_edges_import_fastapi,
    rules.only_learning_imports_torch,
    rules.only_some_use_the_database,
    rules.files_say_what_they_are_for,
    rules.files_and_functions_are_short,
    rules.nothing_is_unpickled_or_evaluated,
    rules.only_storage_writes_files,
    rules.decisions_rest_on_the_matched_route,
    rules.checks_are_not_asserts,
    rules.commits_are_durable,
)
TESTS_TOO = (rules.files_say_what_they_are_for, rules.files_and_functions_are_short)
PLANTED = [
    (rules.learning_stands_alone, "app/learning/x.py", "from app.errors import Invalid"),
    (rules.learning_stands_alone, "app/learning/x.py", "def f():\n    import sqlalchemy.orm"),
    (rules.base_files_know_no_feature, "app/storage.py", "from app.jobs import queue"),
    (rules.base_files_know_no_feature, "app/tables.py", "import app.learning.spec"),
    (rules.base_files_know_no_feature, "app/web/x.py", "from app.models import service"),
    (rules.features_follow_arrows, "app/datasets/service.py", "from app.jobs import service"),
    (rules.features_follow_arrows, "app/jobs/service.py", "from app.datasets.routes import show"),
    (rules.features_follow_arrows, "app/predictions/service.py", "from app.jobs import queue"),
    (rules.nobody_imports_entry_points, "app/jobs/service.py", "from app.main import create_app"),
    (rules.nobody_imports_entry_points, "app/storage.py", "import app.cli_keys"),
    (rules.only_edges_import_the_web, "app/jobs/service.py", "from app.web.paging import Page"),
    (rules.only_edges_import_fastapi, "app/models/service.py", "from fastapi import HTTPException"),
    (rules.only_learning_imports_torch, "app/predictions/loaded.py", "def f():\n    import torch"),
    (rules.only_some_use_the_database, "app/datasets/receive.py", "from sqlalchemy import select"),
    (rules.files_say_what_they_are_for, "app/x.py", "import os"),
    (rules.files_and_functions_are_short, "app/x.py", "x = 1\n" * 301),
    (rules.files_and_functions_are_short, "app/x.py", "async def f():\n" + "    x = 1\n" * 40),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "from pickle import loads"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "import multiprocessing.pool"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "def f(): import joblib"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "import torch\ntorch.load(p, weights_only=True)"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "np.load(p, allow_pickle=True)"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "yaml.load(text)"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "eval('1')"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "subprocess.run(c, shell=True)"),
    (rules.nothing_is_unpickled_or_evaluated, "app/x.py", "tempfile.mktemp()"),
    (rules.only_storage_writes_files, "app/datasets/routes.py", "open(path, 'w')"),
    (rules.only_storage_writes_files, "app/datasets/routes.py", "path.open(mode='ab')"),
    (rules.only_storage_writes_files, "app/datasets/routes.py", "path.write_text('x')"),
    (rules.only_storage_writes_files, "app/datasets/routes.py", "os.rename(a, b)"),
    (rules.only_storage_writes_files, "app/datasets/routes.py", "shutil.move(a, b)"),
    (rules.only_storage_writes_files, "app/datasets/routes.py", "os.open(p, os.O_WRONLY | os.O_CREAT)"),
    (rules.decisions_rest_on_the_matched_route, "app/web/x.py", "if request.url.path: pass"),
    (rules.checks_are_not_asserts, "app/x.py", "assert x"),
    (rules.commits_are_durable, "app/x.py", "pragma = 'synchronous = NORMAL'"),
]
KEPT_OUT = ("torch", "pyarrow", "duckdb", "onnxruntime", "onnx", "alembic", "pandas", "sklearn")
LOADED = """
import json, sys
from starlette.testclient import TestClient
from app.main import create_app
from app.settings import load
settings = load(environ={}, data_dir=sys.argv[1], database_url=sys.argv[2])
headers = {"authorization": "Bearer " + (settings.data_dir / "admin.key").read_text().strip()}
with TestClient(create_app(settings), base_url="http://127.0.0.1", headers=headers) as client:
    asked = [client.get(path).status_code for path in ("/readyz", "/openapi.json", "/v1/specs", "/v1/models")]
    network = {"layers": [{"type": "dense", "units": 8, "normalization": "batch"}]}
    asked.append(client.post("/v1/specs", json={"name": "mine", "network": network}).status_code)
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    asked.append(client.post("/v1/models/penguins/predict", json=json.loads(sys.argv[3])).status_code)
print(json.dumps([asked, loaded, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_service_keeps_the_rule(rule: Rule) -> None:
    broken = _broken(rule, APP)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", TESTS_TOO, ids=lambda rule: rule.__name__)
def test_the_tests_keep_the_rule(rule: Rule) -> None:
    broken = _broken(rule, sources(ROOT, "tests", "benchmarks", "examples"))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED, ids=[f"{p[0].__name__}-{i}" for i, p in enumerate(PLANTED)])
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str) -> None:
    assert _broken(rule, [Source(Path(path), text)])


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_no_exception_outlives_its_reason() -> None:
    modules = {source.module for source in APP}
    assert set(rules.USES_DATABASE) | set(rules.WRITES_FILES) <= modules
    for allowed, rule in (
        (rules.USES_DATABASE, rules.only_some_use_the_database),
        (rules.WRITES_FILES, rules.only_storage_writes_files),
    ):
        needed = {source.module for source in APP if list(rule(Source(Path("app/x/y.py"), source.text)))}
        assert set(allowed) - needed == set()
    used = {(s.feature, ".".join(name.split(".")[:2])) for s in APP if s.feature in rules.FEATURES for name in s.ours}
    assert set(rules.ARROWS) <= used


def test_every_file_of_app_has_a_place_in_the_rules() -> None:
    known = rules.BASE | rules.FEATURES | rules.ENTRY_POINTS | {"learning", "web", "health"}
    assert {s.feature for s in APP if s.feature not in known and not s.feature.startswith("cli")} == set()


@pytest.mark.usefixtures("version")
def test_an_api_process_loads_no_heavy_library_at_start_and_torch_never(settings: Settings) -> None:
    body = json.dumps({"rows": [ROW]})
    command = [sys.executable, "-c", LOADED, str(settings.data_dir), settings.url, body]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    asked, at_start, after_a_prediction = json.loads(done.stdout)
    assert asked == [200, 200, 200, 200, 201, 200]
    assert set(KEPT_OUT) & set(at_start) == set()
    assert "onnxruntime" in after_a_prediction
    assert {"torch", "pyarrow", "duckdb", "onnx"} & set(after_a_prediction) == set()


def _broken(rule: Rule, tree: list[Source]) -> list[str]:
    return [f"{source.path}: {complaint}" for source in tree for complaint in rule(source)]
