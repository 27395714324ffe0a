"""Predictions over HTTP: answers, warnings, versions, and a 4xx for every odd body."""

from __future__ import annotations

import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from tests.counts import everything
from tests.test_errors import assert_problem
from tests.trained import ROW, Trained, store_version

URL = "/v1/models/penguins/predict"
JSON = {"content-type": "application/json"}
NUMBER = "bill_length_mm"


def row(**changes: Any) -> dict[str, Any]:
    """A good row with changes."""
    return ROW | changes


ODD: dict[str, Any] = {
    "number": 1,
    "text": "rows",
    "null": None,
    "list": [ROW],
    "empty": {},
    "rows-null": {"rows": None},
    "rows-empty": {"rows": []},
    "rows-object": {"rows": ROW},
    "rows-text": {"rows": "x"},
    "row-null": {"rows": [None]},
    "row-list": {"rows": [[1]]},
    "row-number": {"rows": [1]},
    "row-empty": {"rows": [{}]},
    "second-row-odd": {"rows": [ROW, 7]},
    "both": {"rows": [ROW], "data": [[1]]},
    "rows-and-columns": {"rows": [ROW], "columns": ["a"]},
    "extra-member": {"rows": [ROW], "options": {}},
    "columns-only": {"columns": ["island"]},
    "data-empty": {"data": []},
    "data-text": {"data": "x"},
    "data-row-object": {"data": [ROW]},
    "data-ragged": {"columns": ["island", NUMBER], "data": [["Biscoe", 1], ["Biscoe"]]},
    "data-short": {"data": [[1, 2]]},
    "data-long": {"data": [[1] * 50]},
    "columns-twice": {"columns": [NUMBER, NUMBER], "data": [[1, 2]]},
    "columns-numbers": {"columns": [1], "data": [[1]]},
    "columns-text": {"columns": "island", "data": [[1]]},
    "columns-null": {"columns": None, "data": [[1]]},
    "number-as-text": {"rows": [row(**{NUMBER: "long"})]},
    "number-as-list": {"rows": [row(**{NUMBER: [1]})]},
    "number-as-object": {"rows": [row(**{NUMBER: {}})]},
    "number-as-bool": {"rows": [row(**{NUMBER: True})]},
    "category-as-list": {"rows": [row(island=["Biscoe"])]},
    "category-as-object": {"rows": [row(island={})]},
    "huge": {"rows": [row(**{NUMBER: 1e308})]},
    "tiny": {"rows": [row(**{NUMBER: -1e308})]},
    "19-digits": {"rows": [row(**{NUMBER: 9999999999999999999})]},
    "fraction-for-integer": {"rows": [row(year=2008.5)]},
    "nul": {"rows": [row(island="\0")]},
    "long-text": {"rows": [row(island="x" * 100_000)]},
    "odd-name": {"rows": [{"\0" * 10: 1}]},
    "deep": {"rows": [row(island=[[[[[[[[1]]]]]]]])]},
    "many-names": {"rows": [{f"c{n}": n for n in range(5000)}]},
    "emoji": {"rows": [row(island="😀")]},
    "missing-all": {"rows": [dict.fromkeys(ROW)]},
}
# Bodies whose rows can be answered, with warnings or without.
ANSWERABLE = {"fraction-for-integer", "19-digits", "emoji", "nul", "long-text"}


@pytest.fixture(autouse=True)
def stored(version: int) -> None:
    """The model penguins, with one version."""


def test_rows_by_name_are_answered_in_their_order(client: TestClient) -> None:
    adelie = row(bill_length_mm=38.0, bill_depth_mm=18.5, flipper_length_mm=185, body_mass_g=3600, island="Torgersen")
    answer = client.post(URL, json={"rows": [ROW, adelie]})
    assert answer.status_code == 200
    body = answer.json()
    assert body["model"] == "penguins@1"
    assert [prediction["label"] for prediction in body["predictions"]] == ["Gentoo", "Adelie"]
    for prediction in body["predictions"]:
        assert set(prediction) == {"label", "probabilities", "warnings"}
        assert sum(prediction["probabilities"].values()) == pytest.approx(1.0, abs=1e-6)
        assert max(prediction["probabilities"], key=prediction["probabilities"].get) == prediction["label"]


def test_a_matrix_is_answered_like_rows(client: TestClient) -> None:
    expected = client.post(URL, json={"rows": [ROW]}).json()["predictions"]
    names = sorted(ROW)
    body = {"columns": names, "data": [[ROW[name] for name in names]]}
    assert client.post(URL, json=body).json()["predictions"] == expected


def test_what_was_guessed_is_said(client: TestClient) -> None:
    body = {"rows": [row(bill_depth_mm=None), {k: v for k, v in ROW.items() if k != "sex"}, row(island="Atlantis")]}
    warnings = [p["warnings"] for p in client.post(URL, json=body).json()["predictions"]]
    assert [(w[0]["column"], w[0]["code"]) for w in warnings] == [
        ("bill_depth_mm", "imputed"),
        ("sex", "imputed"),
        ("island", "unseen-category"),
    ]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_body_is_answered_or_refused_with_a_pointer(app: FastAPI, client: TestClient, name: str) -> None:
    client.post(URL, json={"rows": [ROW]})
    before = everything(app)
    answer = client.post(URL, content=json.dumps(ODD[name]), headers=JSON)
    assert everything(app) == before
    assert (answer.status_code == 200) == (name in ANSWERABLE)
    if answer.status_code == 200:
        json.loads(answer.text, parse_constant=lambda word: pytest.fail(word))
        return
    problem = assert_problem(answer, 422, "schema-mismatch")
    assert problem["errors"], "it must name the place"
    assert len(problem["errors"]) <= 50


@pytest.mark.parametrize("word", [b"NaN", b"1e999", b"-Infinity", b'"\\ud800"', b"01", b"[", b"12345678901234567890"])
def test_a_body_that_is_not_json_is_400(client: TestClient, word: bytes) -> None:
    body = b'{"rows": [{"bill_length_mm": ' + word + b"}]}"
    assert_problem(client.post(URL, content=body, headers=JSON), 400, "malformed-json")


def test_an_empty_body_is_400(client: TestClient) -> None:
    assert_problem(client.post(URL, content=b"", headers=JSON), 400, "malformed-json")


def test_thousands_of_rows_are_answered_like_one_by_one(client: TestClient) -> None:
    rows = [row(bill_length_mm=30 + n / 100) for n in range(2000)]
    together = client.post(URL, json={"rows": rows}).json()["predictions"]
    for n in (0, 63, 64, 65, 1999):
        alone = client.post(URL, json={"rows": [rows[n]]}).json()["predictions"][0]
        assert alone["label"] == together[n]["label"]
        assert alone["probabilities"] == pytest.approx(together[n]["probabilities"], abs=1e-5)


def test_references_name_the_newest_a_number_or_an_alias(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    store_version(app, owner, trained, dataset_id)
    client.put("/v1/models/penguins/aliases/champion", json={"version": 1})
    for reference, meant in (("penguins", 2), ("penguins@1", 1), ("penguins@2", 2), ("penguins@champion", 1)):
        answer = client.post(f"/v1/models/{reference}/predict", json={"rows": [ROW]})
        assert answer.json()["model"] == f"penguins@{meant}"


def test_a_moved_alias_and_a_deleted_version_are_noticed_within_a_second(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    store_version(app, owner, trained, dataset_id)
    alias = "/v1/models/penguins/aliases/champion"
    ask = {"json": {"rows": [ROW]}}
    client.put(alias, json={"version": 1})
    assert client.post("/v1/models/penguins@champion/predict", **ask).json()["model"] == "penguins@1"
    client.put(alias, json={"version": 2})
    client.delete("/v1/models/penguins/versions/1")
    time.sleep(1.0)
    assert client.post("/v1/models/penguins@champion/predict", **ask).json()["model"] == "penguins@2"
    assert client.post("/v1/models/penguins@1/predict", **ask).status_code == 404


def test_many_at_once_get_their_own_answers(client: TestClient) -> None:
    lengths = [35 + n for n in range(16)]
    start = threading.Barrier(16)

    def predictions(length: float) -> Any:
        return client.post(URL, json={"rows": [row(bill_length_mm=length)]}).json()["predictions"]

    def ask(length: float) -> Any:
        start.wait()
        return predictions(length)

    alone = [predictions(length) for length in lengths]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, lengths)) == alone


def test_one_row_takes_milliseconds(client: TestClient) -> None:
    client.post(URL, json={"rows": [ROW]})
    taken = []
    for _ in range(30):
        started = time.perf_counter()
        client.post(URL, json={"rows": [ROW]})
        taken.append(time.perf_counter() - started)
    assert statistics.median(taken) < 0.05
