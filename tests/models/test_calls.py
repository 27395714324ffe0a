"""How a version is called: every curl of its card runs, and its own OpenAPI document is true."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from tests.predictions.live import listening
from tests.trained import ROW, Trained, store_version

DOCUMENT = "/v1/models/penguins/openapi.json"


@pytest.fixture(autouse=True)
def stored(version: int) -> None:
    """The model penguins, with one version."""


def fits(document: dict[str, Any], name: str, value: Any) -> bool:
    """Whether a value fits a schema of the document."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.is_valid(schema, value)


def shell(script: str, **environment: str) -> str:
    """What a script prints."""
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def test_every_curl_of_the_card_runs(app: FastAPI, client: TestClient) -> None:
    with listening(app) as port:
        host = {"host": f"127.0.0.1:{port}"}
        card = client.get("/v1/models/penguins/card", headers=host).json()
        key = client.headers["authorization"].removeprefix("Bearer ")
        labels = {}
        for call in card["calls"]:
            assert call["url"].startswith(f"http://127.0.0.1:{port}/")
            answer = json.loads(shell(call["curl"], MAAS_KEY=key))
            first = answer["outputs"][0]["data"] if "outputs" in answer else [answer["predictions"][0]["label"]]
            labels[call["protocol"]] = first[0]
    assert set(labels) == {"native", "csv", "open-inference", "mlflow", "kserve"}
    assert len(set(labels.values())) == 1


def test_the_card_is_that_of_the_version_a_reference_means(client: TestClient) -> None:
    client.put("/v1/models/penguins/aliases/champion", json={"version": 1})
    card = client.get("/v1/models/penguins/versions/1/card").json()
    assert card["model"] == "penguins@1"
    assert client.get("/v1/models/penguins@champion/card").json() == card
    assert client.get("/v1/models/penguins@2/card").status_code == 404


def test_a_call_quotes_whatever_stands_in_the_data(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    manifest = json.loads(json.dumps(trained.manifest))
    place = next(index for index, column in enumerate(manifest["inputs"]) if column["name"] == "island")
    manifest["inputs"][place]["example"] = "'; echo owned; '$(id)"
    store_version(app, owner, dataclasses.replace(trained, manifest=manifest), dataset_id)
    for call in client.get("/v1/models/penguins/card").json()["calls"]:
        words = shell(f"curl() {{ printf '%s\\0' \"$@\"; }}; {call['curl']}").split("\0")
        assert "'; echo owned; '$(id)" in words[-2]


def test_the_document_of_a_model_is_typed_by_its_columns_and_classes(client: TestClient) -> None:
    document = client.get(DOCUMENT).json()
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
    assert list(document["paths"]) == ["/v1/models/penguins@1/predict"]
    assert list(schemas["Row"]["properties"]) == list(ROW)
    assert schemas["Row"]["properties"]["island"]["anyOf"][0]["enum"] == ["Biscoe", "Dream", "Torgersen"]
    year = schemas["Row"]["properties"]["year"]["anyOf"][0]
    assert (year["type"], year["minimum"], year["maximum"]) == ("integer", 2007, 2009)
    assert schemas["Prediction"]["properties"]["label"]["enum"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert fits(document, "Row", ROW)
    assert fits(document, "Row", ROW | {"sex": None})
    for odd in ({"island": "Atlantis"}, {"year": "x"}, {"year": 1900}):
        assert not fits(document, "Row", ROW | odd)


def test_the_example_of_the_document_is_answered_as_it_says(client: TestClient) -> None:
    document = client.get(DOCUMENT).json()
    ((path, methods),) = document["paths"].items()
    example = methods["post"]["requestBody"]["content"]["application/json"]["example"]
    assert fits(document, "PredictRequest", example)
    answer = client.post(path, json=example)
    assert answer.status_code == 200
    assert fits(document, "PredictResponse", answer.json())
    assert not fits(document, "PredictResponse", answer.json() | {"model": "other@1"})
    assert fits(document, "Problem", client.post(path, json={"rows": [7]}).json())
