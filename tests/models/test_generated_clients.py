"""Typed clients are generated from a model's own document, compile, and are answered; where the generators are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

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


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is not installed: the generators are no part of the locks."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def run(*command: str | Path, folder: Path) -> str:
    """What a program prints that ends well."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [*command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def server(app: FastAPI, client: TestClient, version: int, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URL and key of a server, whose model's document lies in the folder of the test."""
    (tmp_path / "document.json").write_text(client.get("/v1/models/penguins/openapi.json").text)
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}", client.headers["authorization"].removeprefix("Bearer ")


@needs("openapi-python-client")
def test_a_python_client_is_generated_and_answered(server: tuple[str, str], tmp_path: Path) -> None:
    options = ("--path", "document.json", "--output-path", "generated", "--meta", "none")
    run("openapi-python-client", "generate", *options, folder=tmp_path)
    (tmp_path / "ask.py").write_text(PYTHON)
    assert run(sys.executable, "ask.py", *server, folder=tmp_path) == "Gentoo"


@needs("openapi-typescript", "tsc", "node")
def test_typescript_types_are_generated_and_the_client_is_answered(server: tuple[str, str], tmp_path: Path) -> None:
    run("openapi-typescript", "document.json", "-o", "types.ts", folder=tmp_path)
    (tmp_path / "ask.ts").write_text(TYPESCRIPT)
    run("tsc", *OPTIONS, "ask.ts", folder=tmp_path)
    assert run("node", "ask.js", *server, folder=tmp_path) == "Gentoo"
