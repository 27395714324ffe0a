"""The Open Inference Protocol: real clients, JSON and raw bytes in and out, refusals that its clients can read."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from fastapi import FastAPI
from onnx import helper, numpy_helper
from starlette.testclient import TestClient
from tritonclient.utils import InferenceServerException

from app.principal import Principal
from app.storage import Storage
from tests.predictions.live import listening
from tests.trained import ROW, Trained, store_version

URL = "/v2/models/penguins/infer"
LENGTH = "inference-header-content-length"
ROWS = [ROW, ROW | {"bill_length_mm": 38.0, "bill_depth_mm": 18.5, "flipper_length_mm": 185, "island": "Torgersen"}]
DATATYPES = {str: "BYTES", int: "INT64", float: "FP64"}


def tensors(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as one tensor for each column."""
    return [
        {"name": name, "datatype": DATATYPES[type(value)], "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name, value in ROW.items()
    ]


def raw(header: dict[str, Any], *buffers: bytes) -> tuple[bytes, dict[str, str]]:
    """A body with raw bytes, and its header."""
    text = json.dumps(header).encode()
    return b"".join([text, *buffers]), {LENGTH: str(len(text))}


def strings(*words: str) -> bytes:
    """BYTES elements as raw bytes."""
    return b"".join(struct.pack("<I", len(word.encode())) + word.encode() for word in words)


@pytest.fixture(autouse=True)
def stored(version: int) -> None:
    """The model penguins, with one version."""


@pytest.fixture
def port(app: FastAPI) -> Iterator[int]:
    """Where the application listens."""
    with listening(app) as port:
        yield port


@pytest.fixture
def expected(client: TestClient) -> list[dict[str, Any]]:
    """The native answer to the rows."""
    answer: list[dict[str, Any]] = client.post("/v1/models/penguins/predict", json={"rows": ROWS}).json()["predictions"]
    return answer


def columns(module: Any, *, binary: bool) -> list[Any]:
    """The rows as inputs of a client."""
    kinds = {str: (np.object_, "BYTES"), int: (np.int64, "INT64"), float: (np.float64, "FP64")}
    inputs = []
    for name, value in ROW.items():
        dtype, datatype = kinds[type(value)]
        each = module.InferInput(name, [len(ROWS)], datatype)
        each.set_data_from_numpy(np.array([row[name] for row in ROWS], dtype), binary_data=binary)
        inputs.append(each)
    return inputs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_the_triton_client_gets_the_native_answers(
    port: int, client: TestClient, expected: list[dict[str, Any]], binary: bool, compression: str | None
) -> None:
    headers = {"authorization": client.headers["authorization"]}
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as server:
        assert server.is_server_live()
        assert server.is_server_ready()
        assert server.is_model_ready("penguins@1", headers=headers)
        assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
        answer = server.infer(
            "penguins", columns(triton, binary=binary), headers=dict(headers), request_id="mine", model_version="1",
            request_compression_algorithm=compression,
        )  # fmt: skip
        assert answer.get_response()["id"] == "mine"
        labels = [label.decode() for label in answer.as_numpy("label").tolist()]
        assert labels == [prediction["label"] for prediction in expected]
        probabilities = [list(prediction["probabilities"].values()) for prediction in expected]
        assert answer.as_numpy("probabilities").tolist() == probabilities
        in_json = [triton.InferRequestedOutput("probabilities", binary_data=False)]
        answer = server.infer("penguins", columns(triton, binary=binary), outputs=in_json, headers=headers)
        assert answer.as_numpy("probabilities").tolist() == probabilities
        assert answer.as_numpy("label") is None


@pytest.mark.filterwarnings("ignore")
def test_the_asynchronous_triton_client_does_too(port: int, client: TestClient, expected: list[dict[str, Any]]) -> None:
    headers = {"authorization": client.headers["authorization"]}

    async def ask() -> Any:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{port}") as server:
            assert await server.is_model_ready("penguins", "1", headers=headers)
            answers = [server.infer("penguins", columns(triton_aio, binary=True), headers=headers) for _ in range(8)]
            return await asyncio.gather(*answers)

    for answer in asyncio.run(ask()):
        assert [label.decode() for label in answer.as_numpy("label")] == [each["label"] for each in expected]


@pytest.mark.filterwarnings("ignore")
def test_the_triton_client_reads_refusals_index_and_statistics(port: int, client: TestClient) -> None:
    headers = {"authorization": client.headers["authorization"]}
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as server:
        with pytest.raises(InferenceServerException, match="There is no model"):
            server.infer("nothing", columns(triton, binary=True), headers=headers)
        with pytest.raises(InferenceServerException, match="valid API key"):
            server.infer("penguins", columns(triton, binary=True))
        assert not server.is_model_ready("nothing", headers=headers)
        server.load_model("penguins", headers=headers)
        index = server.get_model_repository_index(headers=headers)
        assert index == [{"name": "penguins", "version": "1", "state": "READY", "reason": ""}]
        server.infer("penguins", columns(triton, binary=True), headers=headers)
        (figures,) = server.get_inference_statistics("penguins", headers=headers)["model_stats"]
        assert (figures["inference_count"], figures["execution_count"]) == (len(ROWS), 1)
        assert figures["inference_stats"]["compute_infer"]["ns"] > 0
        assert figures["batch_stats"][0]["batch_size"] == len(ROWS)
        server.unload_model("penguins", headers=headers)


def test_metadata_names_the_columns_and_the_outputs(client: TestClient) -> None:
    read = client.get("/v2/models/penguins@1").json()
    assert (read["name"], read["versions"], read["platform"]) == ("penguins", ["1"], "onnxruntime_onnx")
    assert {tensor["name"]: tensor["datatype"] for tensor in read["inputs"]} == {
        name: DATATYPES[type(value)] for name, value in ROW.items()
    }
    assert [(tensor["name"], tensor["shape"]) for tensor in read["outputs"]] == [
        ("label", [-1]), ("probabilities", [-1, 3]), ("warnings", [-1])
    ]  # fmt: skip
    assert client.get("/v2/models/penguins/versions/1").json() == read


@pytest.mark.parametrize("path", ["penguins", "penguins@1", "penguins@champion", "penguins/versions/1"])
def test_every_reference_is_understood(client: TestClient, path: str, expected: list[dict[str, Any]]) -> None:
    client.put("/v1/models/penguins/aliases/champion", json={"version": 1})
    answer = client.post(f"/v2/models/{path}/infer", json={"inputs": tensors(ROWS)}).json()
    assert (answer["model_name"], answer["model_version"]) == ("penguins", "1")
    assert answer["outputs"][0]["data"] == [prediction["label"] for prediction in expected]


def test_what_was_guessed_is_said_and_only_then(client: TestClient) -> None:
    answer = client.post(URL, json={"inputs": tensors(ROWS)}).json()
    assert [output["name"] for output in answer["outputs"]] == ["label", "probabilities"]
    answer = client.post(URL, json={"inputs": tensors([ROW])[1:]}).json()
    assert json.loads(answer["outputs"][2]["data"][0])[0]["column"] == "island"


def test_a_missing_number_is_null_in_json_and_nan_in_raw_bytes(client: TestClient) -> None:
    place = list(ROW).index("bill_length_mm")
    inputs = tensors(ROWS)
    inputs[place]["data"] = [None, 38.0]
    expected = client.post(URL, json={"inputs": inputs}).json()["outputs"]
    del inputs[place]["data"]
    inputs[place]["parameters"] = {"binary_data_size": 16}
    content, headers = raw({"inputs": inputs}, struct.pack("<2d", float("nan"), 38.0))
    assert client.post(URL, content=content, headers=headers).json()["outputs"] == expected
    assert "imputed" in expected[2]["data"][0]


@pytest.fixture
def numeric(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> str:
    """The infer URL of a model of numbers only: its graph pads them with zeros for what the penguins' names become."""
    manifest = json.loads(json.dumps(trained.manifest))
    kept = [column for column in manifest["preparation"]["columns"] if column["kind"] == "numeric"]
    manifest["preparation"]["columns"] = [column | {"indicator": False} for column in kept]
    manifest["inputs"] = [column for column in manifest["inputs"] if column["role"] == "numeric"]
    model = onnx.load_from_string(trained.graph)
    width, rest = len(kept), manifest["num_inputs"] - len(kept)
    for node in model.graph.node:
        node.input[:] = ["padded" if name == "x" else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 0, rest], np.int64), "pads"))
    model.graph.node.insert(0, helper.make_node("Pad", ["x", "pads"], ["padded"]))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = width
    changed = dataclasses.replace(trained, manifest=manifest, graph=model.SerializeToString())
    store_version(app, owner, changed, dataset_id, model="numbers")
    return "/v2/models/numbers/infer"


def test_a_model_of_numbers_takes_one_tensor_of_all_columns(client: TestClient, numeric: str) -> None:
    names = [tensor["name"] for tensor in client.get("/v2/models/numbers").json()["inputs"]]
    matrix = np.array([[row[name] for name in names] for row in ROWS], np.float64)
    by_column = [
        {"name": name, "datatype": "FP64", "shape": [2, 1], "data": matrix[:, place].tolist()}
        for place, name in enumerate(names)
    ]
    expected = client.post(numeric, json={"inputs": by_column}).json()["outputs"]
    one = {"name": "x", "datatype": "FP64", "shape": list(matrix.shape)}
    for data in (matrix.tolist(), matrix.reshape(-1).tolist()):
        assert client.post(numeric, json={"inputs": [one | {"data": data}]}).json()["outputs"] == expected
    content, headers = raw({"inputs": [one | {"parameters": {"binary_data_size": matrix.nbytes}}]}, matrix.tobytes())
    assert client.post(numeric, content=content, headers=headers).json()["outputs"] == expected
    bare = client.post(numeric, content=matrix.tobytes(), headers={LENGTH: "0"})
    assert bare.headers["content-type"] == "application/octet-stream"
    header = json.loads(bare.content[: int(bare.headers[LENGTH])])
    assert [output["name"] for output in header["outputs"]] == ["label", "probabilities"]
    wrong = client.post(numeric, json={"inputs": [one | {"data": [["x"] * len(names)] * 2, "datatype": "BYTES"}]})
    assert wrong.json()["errors"][0]["pointer"] == "/inputs/0/data/0/0"


def test_a_model_with_names_takes_no_single_tensor(client: TestClient) -> None:
    one = {"name": "x", "datatype": "FP64", "shape": [1, 7], "data": [0] * 7}
    answer = client.post(URL, json={"inputs": [one]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/inputs/0/name")
    assert client.post(URL, content=b"12345678", headers={LENGTH: "0"}).status_code == 422


def test_a_compressed_body_is_decoded_within_the_limit(client: TestClient) -> None:
    content = json.dumps({"inputs": tensors(ROWS)}).encode()
    expected = client.post(URL, content=content).json()["outputs"]
    for encoding, compressed in (("gzip", gzip.compress(content)), ("deflate", zlib.compress(content))):
        headers = {"content-encoding": encoding}
        assert client.post(URL, content=compressed, headers=headers).json()["outputs"] == expected
        for odd in (compressed[:-3], compressed + b"x", b"", content):
            assert client.post(URL, content=odd, headers=headers).status_code == 400
    bomb = gzip.compress(b" " * (9 * 2**20))
    assert len(bomb) < 10_000
    assert client.post(URL, content=bomb, headers={"content-encoding": "gzip"}).status_code == 413
    assert client.post(URL, content=content, headers={"content-encoding": "br"}).status_code == 415


def test_members_that_are_null_are_as_if_left_out(client: TestClient) -> None:
    inputs = [tensor | {"parameters": None} for tensor in tensors(ROWS)]
    body = {"id": None, "inputs": inputs, "outputs": None, "parameters": None}
    assert client.post(URL, json=body).status_code == 200


def test_json_needs_no_content_type_and_other_types_are_refused(client: TestClient) -> None:
    content = json.dumps({"inputs": tensors(ROWS)}).encode()
    assert client.post(URL, content=content).status_code == 200
    assert client.post(URL, content=content, headers={"content-type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("path", ["/v2/nothing", URL, "/v2/models/penguins@1@2"])
def test_the_error_of_a_refusal_is_a_string(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b"{}") if path == URL else client.get(path)
    problem = answer.json()
    assert problem["error"] == problem["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_damaged_model_is_not_ready(app: FastAPI, client: TestClient, trained: Trained) -> None:
    storage: Storage = app.state.storage
    os.truncate(storage.path(storage.put(trained.graph).sha256), 100)
    for answer in (client.get("/v2/models/penguins/ready"), client.post(URL, json={"inputs": tensors(ROWS)})):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/artifact-corrupt")
    (entry,) = client.post("/v2/repository/index").json()
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "artifact-corrupt")
    assert client.post("/v2/repository/index", json={"ready": True}).json() == []


def test_a_model_that_was_unloaded_answers_again(app: FastAPI, client: TestClient) -> None:
    client.post("/v2/repository/models/penguins/load")
    assert app.state.served.loaded.size_bytes > 0
    client.post("/v2/repository/models/penguins/unload")
    assert app.state.served.loaded.size_bytes == 0
    assert client.post(URL, json={"inputs": tensors(ROWS)}).status_code == 200


def test_statistics_count_what_failed(client: TestClient) -> None:
    assert client.get("/v2/models/stats").json() == {"model_stats": []}
    (none,) = client.get("/v2/models/penguins/versions/1/stats").json()["model_stats"]
    assert none["execution_count"] == 0
    bad = tensors(ROWS)
    bad[1] |= {"datatype": "BYTES", "data": ["x", "y"]}
    assert client.post(URL, json={"inputs": bad}).status_code == 422
    (figures,) = client.get("/v2/models/penguins/stats").json()["model_stats"]
    assert figures["inference_stats"]["fail"]["count"] == 1
