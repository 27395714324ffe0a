"""Typed clients are generated from a model's own document, compile, and are answered."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.conftest import ROOT
from tests.predictions.live import listening

PYTHON = """
import sys
from generated import AuthenticatedClient
from generated.api.default import predict
from generated.models import PredictionLabel, PredictRequest, Row, RowIslandType0

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
row = Row(island=RowIslandType0.BISCOE, bill_length_mm=47.5, bill_depth_mm=14.2, flipper_length_mm=209)
answer = predict.sync(client=client, body=PredictRequest(rows=[row]))
assert answer.predictions[0].label is PredictionLabel.GENTOO
print(answer.predictions[0].label)
"""
TYPESCRIPT = """
import type { paths } from "./types";

type Predict = paths["/v1/models/penguins@1/predict"]["post"];
type Body = Predict["requestBody"]["content"]["application/json"];
type Answer = Predict["responses"]["200"]["content"]["application/json"];

declare const process: { argv: string[] };
const row: Body["rows"][0] = { island: "Biscoe", bill_length_mm: 47.5, bill_depth_mm: 14.2, flipper_length_mm: 209 };
const body: Body = { rows: [row] };
const headers = { "content-type": "application/json", authorization: `Bearer ${process.argv[3]}` };
const url = process.argv[2] + "/v1/models/penguins@1/predict";
fetch(url, { method: "POST", headers, body: JSON.stringify(body) })
  .then((answer) => answer.json())
  .then((answer: Answer) => console.log(answer.predictions[0].label satisfies "Adelie" | "Chinstrap" | "Gentoo"));
"""
OPTIONS = ("--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom")


GENERATORS = ROOT / ".venv" / "generators"
PATH = os.pathsep.join(
    [str(GENERATORS / "python" / "bin"), str(GENERATORS / "node" / "node_modules" / ".bin"), os.environ["PATH"]]
)


def need(*programs: str) -> None:
    """Skip where a program cannot be had; CI has them all, and a test that never runs there proves nothing."""
    if missing := [program for program in programs if shutil.which(program, path=PATH) is None]:
        reason = f"{', '.join(missing)} not installed; see `make generators`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def run(*command: str, folder: Path) -> str:
    """What a program prints that ends well; `python` is the generators', which has what generated clients import."""
    environment = os.environ | {"PATH": PATH, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [shutil.which(command[0], path=PATH) or command[0], *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def server(app: FastAPI, client: TestClient, version: int, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URL and key of a server, whose model's document lies in the folder of the test."""
    (tmp_path / "document.json").write_text(client.get("/v1/models/penguins/openapi.json").text)
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}", client.headers["authorization"].removeprefix("Bearer ")


def test_a_python_client_is_generated_and_answered(server: tuple[str, str], tmp_path: Path) -> None:
    need("openapi-python-client")
    options = ("--path", "document.json", "--output-path", "generated", "--meta", "none", "--fail-on-warning")
    run("openapi-python-client", "generate", *options, folder=tmp_path)
    (tmp_path / "ask.py").write_text(PYTHON)
    assert run("python", "ask.py", *server, folder=tmp_path) == "Gentoo"


def test_typescript_types_are_generated_and_the_client_is_answered(server: tuple[str, str], tmp_path: Path) -> None:
    need("openapi-typescript", "tsc", "node")
    run("openapi-typescript", "document.json", "-o", "types.ts", folder=tmp_path)
    (tmp_path / "ask.ts").write_text(TYPESCRIPT)
    run("tsc", *OPTIONS, "ask.ts", folder=tmp_path)
    assert run("node", "ask.js", *server, folder=tmp_path) == "Gentoo"
