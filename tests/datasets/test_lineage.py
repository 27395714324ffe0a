"""What data sets lead to: listed, and deleted with them only when asked for; bytes go with the last row."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.testclient import TestClient

from app.jobs import queue
from app.jobs.lease import Lease
from app.principal import Principal
from app.tables import JobRow
from tests.datasets.blobs import blobs
from tests.test_errors import assert_problem
from tests.trained import Trained, store_dataset

CSV = {"content-type": "text/csv"}


def test_bytes_go_with_the_last_data_set_that_has_them(client: TestClient, app: FastAPI) -> None:
    ids = [client.post(f"/v1/datasets?name={n}", content=b"a\n1\n2\n", headers=CSV).json()["id"] for n in "xy"]
    stored = blobs(app)
    assert len(stored) == 2
    assert client.delete(f"/v1/datasets/{ids[0]}").status_code == 204
    assert blobs(app) == stored
    assert client.get(f"/v1/datasets/{ids[1]}/content").content == b"a\n1\n2\n"
    assert client.delete(f"/v1/datasets/{ids[1]}").status_code == 204
    assert blobs(app) == set()


def test_models_and_jobs_are_listed_before_they_are_deleted(
    client: TestClient, app: FastAPI, dataset_id: str, version: int
) -> None:
    client.put("/v1/models/penguins/aliases/champion", json={"version": version})
    shown = client.get(f"/v1/datasets/{dataset_id}/lineage").json()
    assert (shown["models"], len(shown["jobs"])) == (["penguins@1"], 1)
    refused = client.delete(f"/v1/datasets/{dataset_id}")
    assert_problem(refused, 409, "in-use")
    pointers = [error["pointer"] for error in refused.json()["errors"]]
    assert pointers == ["/models/penguins@1", f"/jobs/{shown['jobs'][0]}"]
    assert client.delete(f"/v1/datasets/{dataset_id}?cascade=true").status_code == 204
    for path in (f"/v1/datasets/{dataset_id}", "/v1/models/penguins/versions/1", f"/v1/jobs/{shown['jobs'][0]}"):
        assert client.get(path).status_code == 404
    assert blobs(app) == set()


def test_a_job_at_work_keeps_its_data_set(client: TestClient, dataset_id: str) -> None:
    job = client.post("/v1/jobs", json={"dataset": dataset_id, "target": "species"}).json()
    refused = client.delete(f"/v1/datasets/{dataset_id}?cascade=true")
    assert_problem(refused, 409, "in-use")
    assert job["id"] in refused.json()["detail"]
    client.post(f"/v1/jobs/{job['id']}/cancel")
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 409
    assert client.delete(f"/v1/datasets/{dataset_id}?cascade=true").status_code == 204


def test_deleting_models_needs_its_own_scope(
    client: TestClient, new_key: Callable[..., dict[str, str]], dataset_id: str, version: int
) -> None:
    uploader = new_key("datasets:write")
    assert client.delete(f"/v1/datasets/{dataset_id}?cascade=true", headers=uploader).status_code == 403
    assert client.get("/v1/models/penguins/versions/1").status_code == 200
    both = new_key("datasets:write", "models:write")
    assert client.delete(f"/v1/datasets/{dataset_id}?cascade=true", headers=both).status_code == 204


def test_other_models_of_the_same_weights_keep_their_bytes(
    client: TestClient, app: FastAPI, owner: Principal, trained: Trained, dataset_id: str, version: int
) -> None:
    twin = store_dataset(app, owner, trained, "twin")
    assert client.delete(f"/v1/datasets/{twin}").status_code == 204
    assert client.get("/v1/models/penguins/versions/1/weights").status_code == 200
    assert client.get(f"/v1/datasets/{dataset_id}/rows").status_code == 200


def test_a_failed_ingest_job_ends_its_data_set(client: TestClient, app: FastAPI) -> None:
    headers = CSV | {"prefer": "respond-async"}
    accepted = client.post("/v1/datasets?name=t", content=b"a\n1\n", headers=headers).json()
    for _ in range(3):
        with app.state.sessions.begin() as session:
            job = queue.claim(session, "w")
            assert job is not None
            queue.fault(session, Lease(job.id, job.lease_epoch), "It died.", max_attempts=3)
    with app.state.read_sessions.begin() as session:
        assert session.get_one(JobRow, accepted["job"]).status == "failed"
    failed = client.get(f"/v1/datasets/{accepted['id']}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "infrastructure-fault")
