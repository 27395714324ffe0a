"""A trained model made once a test session, and the ways to put its data set, job and version into a service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app.datasets import service as datasets
from app.datasets.ingest import IngestLimits, ingest
from app.datasets.making import Table
from app.datasets.service import Draft
from app.jobs import queue
from app.jobs import service as jobs
from app.jobs.lease import Lease
from app.jobs.schemas import JobCreate
from app.models import service as models
from app.principal import Principal
from app.storage import Storage
from app.tables import JobRow

PARAMS = {"hidden": [8], "epochs": 30, "learning_rate": 0.02}
ROW = {
    "island": "Biscoe", "bill_length_mm": 47.5, "bill_depth_mm": 14.2, "flipper_length_mm": 209,
    "body_mass_g": 4600, "sex": "female", "year": 2008,
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """The penguins as a table, and a classifier of their species."""

    sent: bytes
    parquet: bytes
    num_rows: int
    columns: list[dict[str, Any]]
    profile: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    weights: bytes
    graph: bytes
    evaluation: bytes


def train_penguins(source: Path, folder: Path) -> Trained:
    """Read and train in this process; a second or two."""
    from app.learning import train

    table = ingest(source, format="csv", folder=folder, limits=IngestLimits(), sandbox="off")
    dataset = {"path": str(table.parquet), "columns": table.columns, "num_rows": table.num_rows}
    said: list[dict[str, Any]] = []
    request = {"dataset": dataset, "target": "species", "params": PARAMS}
    train.run(request, folder=folder, emit=said.append, control=lambda: None)
    result = said[-1]
    assert result["type"] == "result", result
    return Trained(
        sent=source.read_bytes(),
        parquet=table.parquet.read_bytes(),
        num_rows=table.num_rows,
        columns=table.columns,
        profile=table.profile,
        manifest=json.loads(json.dumps(result["manifest"])),
        metrics=json.loads(json.dumps(result["metrics"])),
        weights=Path(result["files"]["weights"]["path"]).read_bytes(),
        graph=Path(result["files"]["graph"]["path"]).read_bytes(),
        evaluation=Path(result["files"]["evaluation"]["path"]).read_bytes(),
    )


def store_dataset(app: FastAPI, owner: Principal, trained: Trained, name: str = "penguins") -> str:
    """The id of a data set with these bytes."""
    storage: Storage = app.state.storage
    draft = Draft(name, {"operation": "upload"}, sent=storage.put(trained.sent), format="csv")
    table = Table(storage.put(trained.parquet), [], trained.num_rows, trained.columns, trained.profile, {})
    with app.state.sessions.begin() as session:
        return datasets.register(session, owner, draft, table).id


def store_job(app: FastAPI, owner: Principal, dataset_id: str, model: str = "penguins") -> str:
    """The id of a queued job."""
    request = JobCreate(dataset=dataset_id, target="species", model=model, params=PARAMS)
    with app.state.sessions.begin() as session:
        return jobs.submit(session, owner, request, app.state.settings).id


def store_version(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str, model: str = "penguins") -> int:
    """The number of a new version, made as a finished job makes it."""
    storage: Storage = app.state.storage
    contents = {"weights": trained.weights, "graph": trained.graph, "evaluation": trained.evaluation}
    files = {name: storage.put(content) for name, content in contents.items()}
    job_id = store_job(app, owner, dataset_id, model)
    with app.state.sessions.begin() as session:
        job = queue.claim(session, "test")
        assert job is not None
        assert job.id == job_id
        version = models.add_version(session, job, manifest=trained.manifest, metrics=trained.metrics, files=files)
        lease = Lease(job.id, job.lease_epoch)
        queue.succeed(session, lease, owner, version=version, metrics=trained.metrics)
        return version


def job_status(app: FastAPI, job_id: str) -> str:
    """The status of a job."""
    with app.state.read_sessions.begin() as session:
        return str(session.get_one(JobRow, job_id).status)
