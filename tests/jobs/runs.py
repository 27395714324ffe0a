"""Jobs that take a few seconds on a real server, and what is read of them."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import numpy as np

from tests.processes import Server, eventually

SOON = {"MAAS_LEASE_SECONDS": "2", "MAAS_HEARTBEAT_SECONDS": "0.2", "MAAS_CHECKPOINT_SECONDS": "0.2"}
# Dropout, momentum and a schedule: all the state that a checkpoint must carry.
PARAMS = {
    "hidden": [64, 64],
    "dropout": 0.2,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.02,
    "schedule": "cosine",
    "epochs": 25,
    "batch_size": 8,
    "early_stopping": None,
}


def upload(server: Server, *, num_rows: int = 1500) -> str:
    """A data set that takes a few seconds to learn; its id."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(num_rows, 6))
    y = x @ rng.normal(size=6) + np.sin(3 * x[:, 0])
    lines = ["a,b,c,d,e,f,y", *(",".join(f"{v:.6f}" for v in [*row, t]) for row, t in zip(x, y, strict=True))]
    answer = server.http.post(
        "/v1/datasets?name=waves", content="\n".join(lines).encode(), headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["id"]
    return dataset_id


def submit(server: Server, dataset: str, **more: Any) -> str:
    """A job on it; its id."""
    body = {"dataset": dataset, "target": "y", "params": PARAMS, **more}
    answer = server.http.post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def wait(server: Server, job_id: str) -> dict[str, Any]:
    """The job when it has ended."""

    def look() -> dict[str, Any] | None:
        try:
            job = server.job(job_id)
        except httpx.TransportError:
            return None
        return job if job["status"] in ("succeeded", "failed", "cancelled") else None

    return eventually(look, seconds=90)


def wait_for_checkpoint(server: Server, job_id: str) -> None:
    """Wait until there is something to go on from."""
    eventually(lambda: server.http.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"], seconds=60)


def weights(server: Server, job: dict[str, Any]) -> str:
    """The digest of the weights a job made."""
    name, _, number = job["model_version"].partition("@")
    digest: str = server.http.get(f"/v1/models/{name}/versions/{number}").json()["digests"]["weights"]
    return digest


def curves(server: Server, job_id: str, **query: Any) -> dict[str, dict[str, Any]]:
    """The curves of a job by name."""
    answer = server.http.get(f"/v1/jobs/{job_id}/metrics", params={"resolution": 10_000, **query})
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["data"]}


def losses(server: Server, job_id: str) -> list[tuple[str, list[float], list[float]]]:
    """All that depends on a job's data and seed alone: its losses by step and by epoch."""
    found = curves(server, job_id)
    return [(name, found[name]["x"], found[name]["y"]) for name in ("loss", "train_loss", "validation_loss")]
