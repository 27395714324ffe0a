"""The whole path over real HTTP and real processes: upload, train, watch, predict, on the Palmer penguins."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pyarrow as pa
import pyarrow.parquet

from tests.conftest import PENGUINS
from tests.processes import Server

TEST_ROWS = Path(__file__).parent / "data" / "penguins.test_rows.txt"
NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year")


def split() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The penguins' rows that train, and those that test."""
    rows = list(csv.DictReader(PENGUINS.read_text().splitlines()))
    held_out = {int(line) for line in TEST_ROWS.read_text().split()}
    return (
        [row for index, row in enumerate(rows) if index not in held_out],
        [row for index, row in enumerate(rows) if index in held_out],
    )


def typed(row: dict[str, str]) -> dict[str, Any]:
    """A CSV row as the JSON a client would send."""
    return {
        name: None if value in ("", "NA") else float(value) if name in NUMBERS else value
        for name, value in row.items()
        if name != "species"
    }


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


TYPES = {
    "species": "category",
    "island": "category",
    "bill_length_mm": "real",
    "bill_depth_mm": "real",
    "flipper_length_mm": "integer",
    "body_mass_g": "integer",
    "sex": "category",
    "year": "integer",
}


def upload(http: httpx.Client, rows: list[dict[str, str]]) -> dict[str, Any]:
    """The rows as a data set, whose columns are understood."""
    answer = http.post("/v1/datasets?name=penguins", content=as_csv(rows), headers={"content-type": "text/csv"})
    dataset: dict[str, Any] = answer.json()
    assert (answer.status_code, dataset["status"], dataset["num_rows"]) == (201, "ready", 275)
    assert {column["name"]: column["type"] for column in dataset["columns"]} == TYPES
    assert sum(column["num_missing"] for column in dataset["columns"]) > 10
    return dataset


def watch(http: httpx.Client, job_id: str) -> None:
    """Follow the job's events to their end: none is missing."""
    with http.stream("GET", f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}) as stream:
        lines = [line for line in stream.iter_lines() if line]
    numbers = [int(line[4:]) for line in lines if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert lines[-2] == "event: done"


def train(http: httpx.Client, dataset: dict[str, Any]) -> dict[str, Any]:
    """A job with nothing but defaults, watched to its end."""
    answer = http.post("/v1/jobs", json={"dataset": dataset["id"], "target": "species"})
    job: dict[str, Any] = answer.json()
    assert (answer.status_code, job["status"], job["model"]) == (201, "queued", "penguins")
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    watch(http, job["id"])
    job = http.get(f"/v1/jobs/{job['id']}", headers={"prefer": "wait=60"}).json()
    assert (job["status"], job["model_version"], job["error"]) == ("succeeded", "penguins@1", None)
    assert job["metrics"]["test"]["accuracy"] > job["metrics"]["baseline"]["test"]["accuracy"]
    curve = http.get(f"/v1/jobs/{job['id']}/metrics?series=validation_loss").json()["data"][0]
    assert min(curve["y"]) < job["metrics"]["baseline"]["test"]["log_loss"]
    return job


def test_a_stranger_uploads_trains_watches_and_predicts(serve: Callable[..., Server]) -> None:
    http = serve().http
    known, unknown = split()
    assert (len(known), len(unknown)) == (275, 69)
    dataset = upload(http, known)
    assert {spec["name"] for spec in http.get("/v1/specs").json()["data"]} >= {"dense", "linear"}
    job = train(http, dataset)

    version = http.get("/v1/models/penguins/versions/1").json()
    assert version["digests"]["dataset"] == dataset["sha256"]
    assert version["lineage"]["job"] == job["id"]
    assert [model["name"] for model in http.get("/v1/models").json()["data"]] == ["penguins"]

    answer = http.post("/v1/models/penguins@1/predict", json={"rows": [typed(row) for row in unknown]})
    predictions = answer.json()["predictions"]
    right = sum(p["label"] == row["species"] for p, row in zip(predictions, unknown, strict=True))
    assert right / len(unknown) >= 0.97
    assert all(abs(sum(p["probabilities"].values()) - 1) < 1e-5 for p in predictions)
    gaps = [p for p, row in zip(predictions, unknown, strict=True) if {"", "NA"} & set(row.values())]
    assert gaps
    assert all(p["warnings"] for p in gaps)

    matrix = {"columns": list(typed(unknown[0])), "data": [list(typed(row).values()) for row in unknown]}
    assert http.post("/v1/models/penguins/predict", json=matrix).json()["predictions"] == predictions


def test_the_same_table_in_three_formats_trains_the_same_model(serve: Callable[..., Server]) -> None:
    http = serve().http
    rows = list(csv.DictReader(PENGUINS.read_text().splitlines()))
    objects = [typed(row) | {"species": row["species"]} for row in rows]
    for each in objects:
        for name in ("flipper_length_mm", "body_mass_g", "year"):
            each[name] = None if each[name] is None else int(each[name])
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(objects), parquet)
    bodies = {
        "text/csv": PENGUINS.read_bytes(),
        "application/x-ndjson": "\n".join(json.dumps(each) for each in objects).encode(),
        "application/vnd.apache.parquet": parquet.getvalue(),
    }
    weights = set()
    for media_type, body in bodies.items():
        dataset = http.post("/v1/datasets?name=p", content=body, headers={"content-type": media_type}).json()
        order = {"split": {"method": "random"}, "params": {"epochs": 3}}
        job = http.post(
            "/v1/jobs",
            json={"dataset": dataset["id"], "target": "species", **order},
            headers={"prefer": "wait=60"},
        ).json()
        assert job["status"] == "succeeded", job["error"]
        number = job["model_version"].partition("@")[2]
        weights.add(http.get(f"/v1/models/p/versions/{number}").json()["digests"]["weights"])
    assert len(weights) == 1
