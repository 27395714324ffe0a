"""A declared network on a real server: from JSON to a prediction."""

from __future__ import annotations

from tests.conftest import PENGUINS
from tests.jobs.runs import submit, wait
from tests.processes import Server
from tests.trained import ROW

DECLARED = {
    "name": "declared-penguins",
    "network": {
        "embeddings": {"categories": {"width": 4}, "numbers": {"type": "piecewise_linear", "bins": 8, "width": 4}},
        "layers": [
            {"type": "dense", "units": 32, "activation": "relu", "normalization": "batch"},
            {"type": "residual", "layers": [{"type": "dense", "units": 32, "activation": "relu", "dropout": 0.1}]},
        ],
    },
    "params": {"epochs": 40, "learning_rate": 0.01},
}


def test_a_declared_network_is_trained_confined_served_and_kept(steady: Server) -> None:
    made = steady.http.post("/v1/specs", json=DECLARED).json()
    upload = steady.http.post(
        "/v1/datasets?name=penguins", content=PENGUINS.read_bytes(), headers={"content-type": "text/csv"}
    )
    more = {"target": "species", "spec": made["reference"], "model": "declared", "params": {"batch_size": 32}}
    job_id = submit(steady, upload.json()["id"], **more)
    job = wait(steady, job_id)
    assert job["status"] == "succeeded", steady.story(job_id)
    assert job["metrics"]["test"]["accuracy"] > 0.9
    model = steady.http.get("/v1/models/declared/versions/1").json()
    assert model["manifest"]["spec"] == {
        "name": "declared-penguins", "version": made["version"], "sha256": made["sha256"],
    }  # fmt: skip
    assert model["manifest"]["params"]["epochs"] == 40
    answer = steady.http.post("/v1/models/declared/predict", json={"rows": [ROW]}).json()
    assert answer["predictions"][0]["label"] == "Gentoo"
    refused = steady.http.delete(f"/v1/specs/declared-penguins/versions/{made['version']}")
    assert refused.status_code == 409
    assert {each["pointer"] for each in refused.json()["errors"]} == {"/models/declared@1", f"/jobs/{job_id}"}
