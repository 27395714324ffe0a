"""Who may do what: every route asked by every kind of principal, from a table that knows them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.principal import Principal
from app.tables import Table
from app.web.routing import PolicyRoute, walk
from tests.counts import everything
from tests.trained import ROW, Trained, store_job

STUDY = {"external": True, "space": {"x": {"type": "float", "low": 0, "high": 1}}}
JOB = {"dataset": "{dataset}", "target": "species"}
TRUTH = {"data": [{"request": "r", "truth": 1}]}
TENSORS = {"inputs": [{"name": "island", "datatype": "BYTES", "shape": [1], "data": ["Biscoe"]}]}
GATES = {"aliases": ["champion"], "rules": [{"rule": "metric", "metric": "accuracy", "min": 0.1}]}


class Row(NamedTuple):
    """A request, who may make it, and how it ends for them."""

    call: str
    allowed: str
    status: int = 200
    body: Any = None


# Columns: method and path, the kinds of key that may (admin always may), the status they get, the body.
MATRIX = {
    "upload_dataset": Row("POST /v1/datasets?name=x", "uploader", 201, "a,b\n1,2\n3,4\n5,6\n"),
    "list_datasets": Row("GET /v1/datasets", "reader"),
    "get_dataset": Row("GET /v1/datasets/{dataset}", "reader"),
    "get_dataset_profile": Row("GET /v1/datasets/{dataset}/profile", "reader"),
    "get_dataset_lineage": Row("GET /v1/datasets/{dataset}/lineage", "reader"),
    "list_dataset_rows": Row("GET /v1/datasets/{dataset}/rows", "reader"),
    "download_dataset": Row("GET /v1/datasets/{dataset}/content", "uploader"),
    "export_dataset": Row("GET /v1/datasets/{dataset}/export", "uploader"),
    "compare_datasets": Row("GET /v1/datasets/{dataset}/diff?to={dataset}", "reader"),
    "find_dataset_leaks": Row("GET /v1/datasets/{dataset}/leaks?target=species", "reader"),
    "measure_anonymity": Row("POST /v1/datasets/{dataset}/anonymity", "reader", 200, {"quasi_identifiers": ["sex"]}),
    "patch_dataset": Row("PATCH /v1/datasets/{dataset}", "uploader", 201, {"extra_columns": "reject"}),
    "transform_dataset": Row(
        "POST /v1/datasets/{dataset}/transform", "uploader", 201, {"steps": [{"op": "drop_missing"}]}
    ),
    "append_to_dataset": Row("POST /v1/datasets/{dataset}/append", "uploader", 422, "a,b\n1,2\n"),
    "erase_from_dataset": Row("POST /v1/datasets/{dataset}/erase", "uploader", 422, {"column": "sex", "values": ["x"]}),
    "delete_dataset": Row("DELETE /v1/datasets/{dataset}", "uploader", 409),
    # Whoever may is asked for the version of the protocol, which these requests leave out.
    "describe_uploads": Row("OPTIONS /v1/uploads", "anybody", 204),
    "create_upload": Row("POST /v1/uploads", "uploader", 412),
    "get_upload": Row("GET /v1/uploads/{upload}", "uploader"),
    "get_upload_offset": Row("HEAD /v1/uploads/{upload}", "uploader", 412),
    "continue_upload": Row("PATCH /v1/uploads/{upload}", "uploader", 412),
    "delete_upload": Row("DELETE /v1/uploads/{upload}", "uploader", 412),
    "list_specs": Row("GET /v1/specs", "reader"),
    "get_spec": Row("GET /v1/specs/dense", "reader"),
    "create_spec": Row("POST /v1/specs", "trainer", 201, {"name": "mine", "network": {"layers": []}}),
    "get_network_schema": Row("GET /v1/specs:schema", "reader"),
    "list_spec_versions": Row("GET /v1/specs/declared/versions", "reader"),
    "get_spec_version": Row("GET /v1/specs/declared/versions/1", "reader"),
    "delete_spec_version": Row("DELETE /v1/specs/declared/versions/1", "trainer", 204),
    "create_job": Row("POST /v1/jobs", "trainer", 201, JOB),
    "validate_job": Row("POST /v1/jobs:validate?timed=false", "reader", 200, JOB),
    "list_jobs": Row("GET /v1/jobs", "reader"),
    "get_job": Row("GET /v1/jobs/{job}", "reader"),
    "retry_job": Row("POST /v1/jobs/{job}/retry", "trainer", 409),
    "reproduce_job": Row("POST /v1/jobs/{job}/reproduce", "trainer", 409),
    "cancel_job": Row("POST /v1/jobs/{job}/cancel", "trainer"),
    "pause_job": Row("POST /v1/jobs/{job}/pause", "trainer"),
    "resume_job": Row("POST /v1/jobs/{job}/resume", "trainer", 409),
    "finish_job": Row("POST /v1/jobs/{job}/finish", "trainer", 409),
    "list_job_events": Row("GET /v1/jobs/{job}/events", "reader"),
    "list_job_metrics": Row("GET /v1/jobs/{job}/metrics", "reader"),
    "draw_job_chart": Row("GET /v1/jobs/{job}/charts/loss.svg", "reader"),
    "get_job_chart": Row("GET /v1/jobs/{job}/charts/loss.json", "reader"),
    "patch_job": Row("PATCH /v1/jobs/{job}", "trainer", 200, {"priority": 3}),
    "list_job_checkpoints": Row("GET /v1/jobs/{job}/checkpoints", "reader"),
    "list_job_logs": Row("GET /v1/jobs/{job}/logs", "reader"),
    "create_study": Row("POST /v1/studies", "trainer", 201, STUDY),
    "list_studies": Row("GET /v1/studies", "reader"),
    "get_study": Row("GET /v1/studies/{study}", "reader"),
    "cancel_study": Row("POST /v1/studies/{study}/cancel", "trainer"),
    "finish_study": Row("POST /v1/studies/{study}/finish", "trainer"),
    "pause_study": Row("POST /v1/studies/{study}/pause", "trainer"),
    "resume_study": Row("POST /v1/studies/{study}/resume", "trainer", 409),
    "list_study_events": Row("GET /v1/studies/{study}/events", "reader"),
    "list_trials": Row("GET /v1/studies/{study}/trials", "reader"),
    "get_trial": Row("GET /v1/studies/{study}/trials/0", "reader"),
    "ask_study": Row("POST /v1/studies/{study}/ask", "trainer", 201),
    "report_trial": Row("POST /v1/studies/{study}/trials/0/report", "trainer", 200, {"step": 1, "value": 0.5}),
    "tell_trial": Row("POST /v1/studies/{study}/trials/0/tell", "trainer", 200, {"value": 0.5}),
    "evaluate_model": Row("POST /v1/models/penguins@1/evaluate", "trainer", 201, {}),
    "get_job_evaluation": Row("GET /v1/jobs/{job}/evaluation", "reader", 404),
    "predict_dataset": Row("POST /v1/predictions", "trainer", 201, {"dataset": "{dataset}", "model": "penguins"}),
    "download_rejected": Row("GET /v1/jobs/{job}/rejected", "reader", 404),
    "list_models": Row("GET /v1/models", "reader bound"),
    "get_model": Row("GET /v1/models/penguins", "reader bound"),
    "list_model_versions": Row("GET /v1/models/penguins/versions", "reader bound"),
    "get_model_version": Row("GET /v1/models/penguins/versions/1", "reader bound"),
    "get_model_evaluation": Row("GET /v1/models/penguins/versions/1/evaluation", "reader bound"),
    "get_model_chart": Row("GET /v1/models/penguins/versions/1/charts/roc.json", "reader bound"),
    "draw_model_chart": Row("GET /v1/models/penguins/versions/1/charts/roc.svg", "reader bound"),
    "get_model_card": Row("GET /v1/models/penguins/versions/1/card", "reader bound"),
    "get_referred_card": Row("GET /v1/models/penguins/card", "reader bound"),
    "get_model_openapi": Row("GET /v1/models/penguins@1/openapi.json", "reader bound"),
    "download_weights": Row("GET /v1/models/penguins/versions/1/weights", "publisher"),
    "delete_model": Row("DELETE /v1/models/penguins", "publisher", 204),
    "delete_model_version": Row("DELETE /v1/models/penguins/versions/1", "publisher", 409),
    "get_alias": Row("GET /v1/models/penguins/aliases/champion", "reader bound"),
    "put_alias": Row("PUT /v1/models/penguins/aliases/champion", "publisher", 200, {"version": 1}),
    "delete_alias": Row("DELETE /v1/models/penguins/aliases/champion", "publisher", 204),
    "roll_back_alias": Row("POST /v1/models/penguins/aliases/champion/rollback", "publisher", 409),
    "list_alias_moves": Row("GET /v1/models/penguins/aliases/champion/history", "reader bound"),
    "get_gates": Row("GET /v1/models/penguins/gates", "reader bound"),
    "put_gates": Row("PUT /v1/models/penguins/gates", "publisher", 200, GATES),
    "delete_gates": Row("DELETE /v1/models/penguins/gates", "publisher", 204),
    "check_gates": Row("POST /v1/models/penguins/gates:check", "publisher", 200, {"version": 1, "alias": "champion"}),
    "get_shadow": Row("GET /v1/models/penguins/aliases/champion/shadow", "reader bound"),
    "put_shadow": Row("PUT /v1/models/penguins/aliases/champion/shadow", "publisher", 200, {"version": 1}),
    "delete_shadow": Row("DELETE /v1/models/penguins/aliases/champion/shadow", "publisher", 204),
    "put_model_log": Row("PUT /v1/models/penguins/log", "publisher", 200, {"enabled": False}),
    "get_model_drift": Row("GET /v1/models/penguins/versions/1/drift", "reader bound"),
    "replay_model_log": Row("POST /v1/models/penguins/versions/1/replay", "reader bound"),
    "get_model_log_rule": Row("GET /v1/models/penguins/log/rule", "reader bound"),
    "list_model_log": Row("GET /v1/models/penguins/log", "reader bound"),
    "delete_model_log": Row("DELETE /v1/models/penguins/log", "publisher", 204),
    "give_feedback": Row("POST /v1/models/penguins/feedback", "predictor bound", 200, TRUTH),
    "get_live_quality": Row("GET /v1/models/penguins/feedback", "reader bound"),
    "predict": Row("POST /v1/models/penguins@1/predict", "predictor bound", 200, {"rows": [ROW]}),
    "predict_instances": Row("POST /v1/models/penguins:predict", "predictor bound", 200, {"instances": [ROW]}),
    "invoke": Row("POST /invocations?model=penguins", "predictor bound", 200, {"instances": [ROW]}),
    "ping": Row("GET /ping", "anybody"),
    "get_server_version": Row("GET /version", "anybody"),
    "get_inference_server": Row("GET /v2", "anybody"),
    "is_inference_server_live": Row("GET /v2/health/live", "anybody"),
    "is_inference_server_ready": Row("GET /v2/health/ready", "anybody"),
    "get_inference_statistics": Row("GET /v2/models/stats", "predictor bound"),
    "get_inference_model": Row("GET /v2/models/penguins@1", "predictor bound"),
    "get_inference_model_version": Row("GET /v2/models/penguins/versions/1", "predictor bound"),
    "is_inference_model_ready": Row("GET /v2/models/penguins/ready", "predictor bound"),
    "is_inference_model_version_ready": Row("GET /v2/models/penguins/versions/1/ready", "predictor bound"),
    "get_inference_model_statistics": Row("GET /v2/models/penguins/stats", "predictor bound"),
    "get_inference_model_version_statistics": Row("GET /v2/models/penguins/versions/1/stats", "predictor bound"),
    "infer": Row("POST /v2/models/penguins/infer", "predictor bound", 200, TENSORS),
    "infer_version": Row("POST /v2/models/penguins/versions/1/infer", "predictor bound", 200, TENSORS),
    "list_inference_models": Row("POST /v2/repository/index", "reader bound"),
    "load_inference_model": Row("POST /v2/repository/models/penguins/load", "predictor bound"),
    "unload_inference_model": Row("POST /v2/repository/models/penguins/unload", "publisher"),
    "create_key": Row("POST /v1/keys", "", 201, {"name": "k", "scopes": ["read"]}),
    "list_keys": Row("GET /v1/keys", ""),
    "get_key": Row("GET /v1/keys/{key}", ""),
    "revoke_key": Row("DELETE /v1/keys/{key}", ""),
    "list_projects": Row("GET /v1/projects", "reader"),
    "list_audit": Row("GET /v1/audit", ""),
    "healthz": Row("GET /healthz", "anybody"),
    "readyz": Row("GET /readyz", "anybody"),
    "metrics": Row("GET /metrics", "reader"),
    "openapi": Row("GET /openapi.json", "anybody"),
    "docs": Row("GET /docs", "anybody"),
}
# Asked by a stranger, these answer about the stranger's own things.
OWN_ONLY = {
    "create_key", "create_spec", "create_study", "create_upload", "get_inference_statistics", "get_network_schema",
    "get_spec", "list_audit", "list_datasets", "list_inference_models", "list_jobs", "list_keys", "list_models",
    "list_projects", "list_specs", "list_studies", "metrics", "upload_dataset",
}  # fmt: skip
KINDS = ("dataset", "job", "key", "study", "upload")
SCOPES = {
    "reader": ["read"],
    "uploader": ["datasets:write"],
    "trainer": ["jobs:write"],
    "predictor": ["predict"],
    "publisher": ["models:write"],
}
Ask = Callable[[str, dict[str, str]], Any]


@pytest.fixture
def names(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str, version: int
) -> dict[str, str]:
    """What the table's requests name."""
    client.put("/v1/models/penguins/aliases/champion", json={"version": version})
    client.put("/v1/models/penguins/gates", json=GATES)
    client.put("/v1/models/penguins/aliases/champion/shadow", json={"version": version})
    client.post("/v1/specs", json={"name": "declared", "network": {"layers": []}})
    key = client.post("/v1/keys", json={"name": "other", "scopes": ["read"]}).json()["id"]
    announced = {"tus-resumable": "1.0.0", "upload-length": "9", "upload-metadata": "name bmFtZQ=="}
    upload = client.post("/v1/uploads", headers=announced).json()["id"]
    study = client.post("/v1/studies", json=STUDY).json()["id"]
    client.post(f"/v1/studies/{study}/ask")
    job = store_job(app, owner, dataset_id)
    return {"dataset": dataset_id, "job": job, "key": key, "study": study, "upload": upload}


@pytest.fixture
def ask(client: TestClient, names: dict[str, str]) -> Ask:
    """Makes a request of the table with a header."""

    def send(operation: str, header: dict[str, str]) -> Any:
        row = MATRIX[operation]
        method, path = row.call.format(**names).split(" ", 1)
        headers = {"authorization": "", **header}
        if isinstance(row.body, str):
            headers["content-type"] = "text/csv"
            return client.request(method, path, content=row.body, headers=headers)
        body = row.body | {"dataset": names["dataset"]} if "dataset" in (row.body or ()) else row.body
        return client.request(method, path, json=body, headers=headers)

    return send


def test_every_route_has_a_row(app: FastAPI) -> None:
    assert {route.name for route in walk(app.routes) if isinstance(route, PolicyRoute)} == set(MATRIX)


@pytest.mark.parametrize("operation", MATRIX)
def test_only_the_listed_kinds_of_key_may(
    operation: str, ask: Ask, app: FastAPI, client: TestClient, new_key: Callable[..., dict[str, str]]
) -> None:
    row, admin = MATRIX[operation], {"authorization": client.headers["authorization"]}
    keys = {kind: new_key(*scopes) for kind, scopes in SCOPES.items()}
    keys["bound"] = new_key("read", "predict", model="penguins")
    allowed = set(row.allowed.split())
    before = everything(app)
    for header in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp5"}):
        assert ask(operation, header).status_code == (row.status if "anybody" in allowed else 401)
    if "anybody" not in allowed:
        for kind in keys.keys() - allowed:
            assert (kind, ask(operation, keys[kind]).status_code) == (kind, 403)
    assert everything(app) == before, "a refused request changed something"
    for kind in sorted(keys.keys() & allowed):
        assert (kind, ask(operation, keys[kind]).status_code) == (kind, row.status)
    last = ask(operation, admin).status_code
    assert last == row.status or (keys.keys() & allowed and last in (404, 409))


@pytest.mark.parametrize("operation", [o for o, row in MATRIX.items() if "anybody" not in row.allowed.split()])
def test_nobody_reaches_into_another_project(
    operation: str, ask: Ask, app: FastAPI, stranger: dict[str, str], names: dict[str, str]
) -> None:
    before = everything(app)
    answer = ask(operation, stranger)
    if operation in OWN_ONLY:
        assert answer.status_code == MATRIX[operation].status
        assert not any(name in answer.text for name in names.values())
        return
    assert answer.status_code == 404
    assert everything(app) == before


@pytest.mark.parametrize(
    ("operation", "name"),
    [(o, word) for o, row in MATRIX.items() for word in KINDS if f"{{{word}}}" in row.call],
)
def test_a_foreign_id_is_answered_like_a_random_one(
    operation: str, name: str, ask: Ask, stranger: dict[str, str], names: dict[str, str]
) -> None:
    foreign = names[name]
    random = foreign[:-4] + "AAAA" if name == "key" else foreign[:-4] + "0000"
    header = stranger | {"x-request-id": "same"}
    first = ask(operation, header)
    names[name] = random
    second = ask(operation, header)
    assert (first.status_code, second.status_code) == (404, 404)
    assert first.text.replace(foreign, random) == second.text
    assert first.headers == second.headers


def test_a_foreign_data_set_inside_a_body_is_not_found(ask: Ask, stranger: dict[str, str]) -> None:
    assert ask("create_job", stranger).status_code == 404
    assert ask("validate_job", stranger).status_code == 404


def test_a_bound_key_sees_its_model_only(
    client: TestClient, names: dict[str, str], new_key: Callable[..., dict[str, str]]
) -> None:
    header = new_key("read", "predict", model="elsewhere")
    assert client.get("/v1/models", headers=header).json()["data"] == []
    for path in ("", "/versions", "/versions/1", "/aliases/champion"):
        assert client.get(f"/v1/models/penguins{path}", headers=header).status_code == 404
    for reference in ("penguins", "penguins@1", "penguins@champion"):
        answer = client.post(f"/v1/models/{reference}/predict", json={"rows": [ROW]}, headers=header)
        assert answer.status_code == 404
    assert client.get("/v1/jobs", headers=header).status_code == 403


def test_every_table_is_watched_by_these_tests(app: FastAPI) -> None:
    assert set(everything(app)) >= set(Table.metadata.tables)
