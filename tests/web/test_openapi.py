"""The OpenAPI document: true, complete, and stable, because clients are generated from it."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.web.problems import MEDIA_TYPE
from tests.web.test_access import MATRIX

# Published names: an operation may be added, never renamed or moved.
OPERATIONS = {
    "upload_dataset": "post /v1/datasets",
    "list_datasets": "get /v1/datasets",
    "get_dataset": "get /v1/datasets/{dataset_id}",
    "get_dataset_profile": "get /v1/datasets/{dataset_id}/profile",
    "get_dataset_lineage": "get /v1/datasets/{dataset_id}/lineage",
    "list_dataset_rows": "get /v1/datasets/{dataset_id}/rows",
    "download_dataset": "get /v1/datasets/{dataset_id}/content",
    "export_dataset": "get /v1/datasets/{dataset_id}/export",
    "compare_datasets": "get /v1/datasets/{dataset_id}/diff",
    "find_dataset_leaks": "get /v1/datasets/{dataset_id}/leaks",
    "measure_anonymity": "post /v1/datasets/{dataset_id}/anonymity",
    "patch_dataset": "patch /v1/datasets/{dataset_id}",
    "transform_dataset": "post /v1/datasets/{dataset_id}/transform",
    "append_to_dataset": "post /v1/datasets/{dataset_id}/append",
    "erase_from_dataset": "post /v1/datasets/{dataset_id}/erase",
    "delete_dataset": "delete /v1/datasets/{dataset_id}",
    "describe_uploads": "options /v1/uploads",
    "create_upload": "post /v1/uploads",
    "get_upload": "get /v1/uploads/{upload_id}",
    "get_upload_offset": "head /v1/uploads/{upload_id}",
    "continue_upload": "patch /v1/uploads/{upload_id}",
    "delete_upload": "delete /v1/uploads/{upload_id}",
    "list_specs": "get /v1/specs",
    "get_spec": "get /v1/specs/{name}",
    "create_spec": "post /v1/specs",
    "get_network_schema": "get /v1/specs:schema",
    "list_spec_versions": "get /v1/specs/{name}/versions",
    "get_spec_version": "get /v1/specs/{name}/versions/{version}",
    "delete_spec_version": "delete /v1/specs/{name}/versions/{version}",
    "create_job": "post /v1/jobs",
    "validate_job": "post /v1/jobs:validate",
    "list_jobs": "get /v1/jobs",
    "get_job": "get /v1/jobs/{job_id}",
    "patch_job": "patch /v1/jobs/{job_id}",
    "retry_job": "post /v1/jobs/{job_id}/retry",
    "reproduce_job": "post /v1/jobs/{job_id}/reproduce",
    "cancel_job": "post /v1/jobs/{job_id}/cancel",
    "pause_job": "post /v1/jobs/{job_id}/pause",
    "resume_job": "post /v1/jobs/{job_id}/resume",
    "finish_job": "post /v1/jobs/{job_id}/finish",
    "list_job_events": "get /v1/jobs/{job_id}/events",
    "list_job_metrics": "get /v1/jobs/{job_id}/metrics",
    "draw_job_chart": "get /v1/jobs/{job_id}/charts/{name}.svg",
    "get_job_chart": "get /v1/jobs/{job_id}/charts/{name}.json",
    "list_job_checkpoints": "get /v1/jobs/{job_id}/checkpoints",
    "list_job_logs": "get /v1/jobs/{job_id}/logs",
    "create_study": "post /v1/studies",
    "list_studies": "get /v1/studies",
    "get_study": "get /v1/studies/{study_id}",
    "cancel_study": "post /v1/studies/{study_id}/cancel",
    "finish_study": "post /v1/studies/{study_id}/finish",
    "pause_study": "post /v1/studies/{study_id}/pause",
    "resume_study": "post /v1/studies/{study_id}/resume",
    "list_study_events": "get /v1/studies/{study_id}/events",
    "list_trials": "get /v1/studies/{study_id}/trials",
    "get_trial": "get /v1/studies/{study_id}/trials/{trial}",
    "ask_study": "post /v1/studies/{study_id}/ask",
    "report_trial": "post /v1/studies/{study_id}/trials/{trial}/report",
    "tell_trial": "post /v1/studies/{study_id}/trials/{trial}/tell",
    "evaluate_model": "post /v1/models/{reference}/evaluate",
    "get_job_evaluation": "get /v1/jobs/{job_id}/evaluation",
    "predict_dataset": "post /v1/predictions",
    "put_model_log": "put /v1/models/{name}/log",
    "get_model_drift": "get /v1/models/{name}/versions/{version}/drift",
    "replay_model_log": "post /v1/models/{name}/versions/{version}/replay",
    "get_model_log_rule": "get /v1/models/{name}/log/rule",
    "list_model_log": "get /v1/models/{name}/log",
    "delete_model_log": "delete /v1/models/{name}/log",
    "give_feedback": "post /v1/models/{name}/feedback",
    "get_live_quality": "get /v1/models/{name}/feedback",
    "download_rejected": "get /v1/jobs/{job_id}/rejected",
    "list_models": "get /v1/models",
    "get_model": "get /v1/models/{name}",
    "list_model_versions": "get /v1/models/{name}/versions",
    "get_model_version": "get /v1/models/{name}/versions/{version}",
    "get_model_evaluation": "get /v1/models/{name}/versions/{version}/evaluation",
    "get_model_chart": "get /v1/models/{name}/versions/{version}/charts/{chart}.json",
    "draw_model_chart": "get /v1/models/{name}/versions/{version}/charts/{chart}.svg",
    "get_model_card": "get /v1/models/{name}/versions/{version}/card",
    "get_referred_card": "get /v1/models/{reference}/card",
    "get_model_openapi": "get /v1/models/{reference}/openapi.json",
    "download_weights": "get /v1/models/{name}/versions/{version}/weights",
    "delete_model": "delete /v1/models/{name}",
    "delete_model_version": "delete /v1/models/{name}/versions/{version}",
    "get_alias": "get /v1/models/{name}/aliases/{alias}",
    "put_alias": "put /v1/models/{name}/aliases/{alias}",
    "delete_alias": "delete /v1/models/{name}/aliases/{alias}",
    "roll_back_alias": "post /v1/models/{name}/aliases/{alias}/rollback",
    "list_alias_moves": "get /v1/models/{name}/aliases/{alias}/history",
    "get_gates": "get /v1/models/{name}/gates",
    "put_gates": "put /v1/models/{name}/gates",
    "delete_gates": "delete /v1/models/{name}/gates",
    "check_gates": "post /v1/models/{name}/gates:check",
    "get_shadow": "get /v1/models/{name}/aliases/{alias}/shadow",
    "put_shadow": "put /v1/models/{name}/aliases/{alias}/shadow",
    "delete_shadow": "delete /v1/models/{name}/aliases/{alias}/shadow",
    "predict": "post /v1/models/{reference}/predict",
    "predict_instances": "post /v1/models/{reference}:predict",
    "invoke": "post /invocations",
    "ping": "get /ping",
    "get_server_version": "get /version",
    "get_inference_server": "get /v2",
    "is_inference_server_live": "get /v2/health/live",
    "is_inference_server_ready": "get /v2/health/ready",
    "get_inference_statistics": "get /v2/models/stats",
    "get_inference_model": "get /v2/models/{model}",
    "get_inference_model_version": "get /v2/models/{model}/versions/{version}",
    "is_inference_model_ready": "get /v2/models/{model}/ready",
    "is_inference_model_version_ready": "get /v2/models/{model}/versions/{version}/ready",
    "get_inference_model_statistics": "get /v2/models/{model}/stats",
    "get_inference_model_version_statistics": "get /v2/models/{model}/versions/{version}/stats",
    "infer": "post /v2/models/{model}/infer",
    "infer_version": "post /v2/models/{model}/versions/{version}/infer",
    "list_inference_models": "post /v2/repository/index",
    "load_inference_model": "post /v2/repository/models/{model}/load",
    "unload_inference_model": "post /v2/repository/models/{model}/unload",
    "create_key": "post /v1/keys",
    "list_keys": "get /v1/keys",
    "get_key": "get /v1/keys/{key_id}",
    "revoke_key": "delete /v1/keys/{key_id}",
    "list_projects": "get /v1/projects",
    "list_audit": "get /v1/audit",
    "healthz": "get /healthz",
    "readyz": "get /readyz",
    "metrics": "get /metrics",
}
WITHOUT_A_KEY = {
    *("describe_uploads", "healthz", "readyz"),
    *("ping", "get_server_version"),
    *("get_inference_server", "is_inference_server_live", "is_inference_server_ready"),
}
PROBLEMS = {
    "InferenceProblem": re.compile(r"/v2.*|.*:predict"),
    "ScoringProblem": re.compile(r"/invocations|/ping|/version"),
}
TEXT_ANSWERS = {"metrics", "ping", "get_server_version", "download_dataset", "download_weights"}


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document."""
    return app.openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation by its id."""
    return {
        operation["operationId"]: operation | {"call": f"{method} {path}"}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raise unless a value fits a schema of the document."""
    jsonschema_rs.validate({**schema, "components": document["components"]}, value)


def schemas(node: Any) -> list[dict[str, Any]]:
    """Every part of the document that has examples."""
    if isinstance(node, dict):
        inside = [child for name, child in node.items() if name not in ("example", "examples")]
    else:
        inside = node if isinstance(node, list) else []
    found = [part for child in inside for part in schemas(child)]
    return [*found, node] if isinstance(node, dict) and isinstance(node.get("examples"), list) else found


def test_the_document_is_openapi_3_1_and_served(client: TestClient, document: dict[str, Any]) -> None:
    served = client.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json() == document
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "maas"
    assert document["info"]["license"]["identifier"] == "Apache-2.0"


def test_published_operations_keep_their_names_and_places(document: dict[str, Any]) -> None:
    assert {name: operation["call"] for name, operation in operations(document).items()} == OPERATIONS


def test_the_document_knows_every_route_but_itself(document: dict[str, Any]) -> None:
    assert set(operations(document)) == set(MATRIX) - {"openapi", "docs"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> set[str]:
        inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        found = {node["$ref"]} if isinstance(node, dict) and isinstance(node.get("$ref"), str) else set()
        return found.union(*(references(child) for child in inside))

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described_typed_and_says_how_it_fails(document: dict[str, Any], name: str) -> None:
    operation = operations(document)[name]
    path = operation["call"].split(" ")[1]
    problem = next((problem for problem, paths in PROBLEMS.items() if paths.fullmatch(path)), "Problem")
    assert operation["description"]
    assert operation["tags"]
    assert operation["security"] == ([] if name in WITHOUT_A_KEY else [{"key": []}])
    for parameter in operation.get("parameters", []):
        assert parameter.get("description"), parameter["name"]
    good = [status for status in operation["responses"] if status.startswith("2")]
    assert good
    for status in good:
        content = operation["responses"][status].get("content", {})
        assert bool(content) == (status != "204")
        for media_type, part in content.items():
            assert part.get("schema") or name in TEXT_ANSWERS, media_type
            if media_type == "application/json":
                assert part["schema"] != {}
    for status, response in operation["responses"].items():
        if status >= "400":
            assert response["content"] == {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{problem}"}}}
            assert response["description"]
    if name not in WITHOUT_A_KEY:
        assert {"401", "403", "421", "503"} <= set(operation["responses"])


def test_no_framework_error_is_left(document: dict[str, Any]) -> None:
    assert "ValidationError" not in str(document["components"]["schemas"].keys())
    assert "HTTPValidationError" not in str(document)


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    checked = 0
    for schema in schemas(document):
        for example in schema["examples"]:
            fits(document, schema, example)
            checked += 1
    assert checked > 10


def test_requests_and_answers_have_examples(document: dict[str, Any]) -> None:
    for name in (
        "JobCreate",
        "JobRead",
        "StudyCreate",
        "StudyRead",
        "TrialRead",
        "KeyCreate",
        "DatasetRead",
        "AliasWrite",
        "GatesWrite",
        "CheckCreate",
        "PredictResponse",
        "SpecCreate",
    ):
        assert document["components"]["schemas"][name]["examples"], name


def test_creates_document_the_key_that_makes_them_repeatable(document: dict[str, Any]) -> None:
    for name in ("upload_dataset", "create_job", "retry_job", "create_study", "ask_study", "create_key", "create_spec"):
        names = {parameter["name"].lower() for parameter in operations(document)[name]["parameters"]}
        assert "idempotency-key" in names, name
        headers = operations(document)[name]["responses"]["201"]["headers"]
        assert "Location" in headers, name


def test_polls_document_their_headers(document: dict[str, Any]) -> None:
    names = {parameter["name"].lower() for parameter in operations(document)["get_job"]["parameters"]}
    assert {"prefer", "if-none-match"} <= names
    assert "304" in operations(document)["get_job"]["responses"]
