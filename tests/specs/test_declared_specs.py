"""Networks declared over HTTP: in versions that never change, seen by their project, pinned by jobs."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.learning.declared.reading import digest
from app.principal import Principal
from app.specs import service
from app.specs.schemas import EMBEDDED, NETWORK
from app.tables import JobRow, ModelVersionRow
from tests.test_errors import assert_problem
from tests.trained import Trained, store_version


def declare(client: TestClient, name: str = "wide", **more: Any) -> Any:
    """The answer to a declaration."""
    return client.post("/v1/specs", json={"name": name, "network": NETWORK, **more})


def planned(app: FastAPI, job_id: str) -> dict[str, Any]:
    """What a job will do."""
    with app.state.read_sessions.begin() as session:
        plan: dict[str, Any] = session.get_one(JobRow, job_id).plan
        return plan


def submit(client: TestClient, dataset: str, spec: str, **more: Any) -> Any:
    """The answer to a job with this spec."""
    return client.post("/v1/jobs", json={"dataset": dataset, "target": "species", "spec": spec, **more})


def test_the_same_name_again_makes_the_next_version_and_both_stay(client: TestClient) -> None:
    first = declare(client, params={"epochs": 7}, description="One block.")
    assert (first.status_code, first.headers["location"]) == (201, "/v1/specs/wide/versions/1")
    made = first.json()
    assert (made["reference"], made["origin"], made["summary"]) == ("wide@1", "declared", "One block.")
    assert made["sha256"] == digest(made)
    second = declare(client, network=EMBEDDED).json()
    assert (second["reference"], second["sha256"] != made["sha256"]) == ("wide@2", True)
    assert client.get("/v1/specs/wide/versions/1").json() == made
    assert client.get("/v1/specs/wide").json() == second
    assert [each["version"] for each in client.get("/v1/specs/wide/versions").json()["data"]] == [2, 1]
    listed = {each["name"]: each for each in client.get("/v1/specs").json()["data"]}
    assert listed["wide"] == second
    assert {each["origin"] for name, each in listed.items() if name != "wide"} == {"built-in"}
    epochs = next(each for each in made["parameters"] if each["name"] == "epochs")
    assert epochs["default"] == 7


def test_a_version_cannot_be_written_again(client: TestClient) -> None:
    declare(client)
    for method in ("put", "patch", "post"):
        assert_problem(getattr(client, method)("/v1/specs/wide/versions/1", json={}), 405, "method-not-allowed")


def test_specs_of_the_service_have_versions_too_and_keep_their_names(client: TestClient) -> None:
    problem = assert_problem(declare(client, "dense"), 409, "conflict")
    assert problem["errors"][0]["pointer"] == "/name"
    assert [each["reference"] for each in client.get("/v1/specs/dense/versions").json()["data"]] == ["dense@1"]
    assert client.get("/v1/specs/dense/versions?after=1").json()["data"] == []
    assert client.get("/v1/specs/dense/versions/1").json() == client.get("/v1/specs/dense").json()
    assert_problem(client.get("/v1/specs/dense/versions/2"), 404, "not-found")
    assert_problem(client.delete("/v1/specs/dense/versions/1"), 409, "conflict")


@pytest.mark.parametrize("name", ["", "a b", "wide@1", "../x", "ä", "x" * 129, ".x", 7, None, "x\n"])
def test_a_name_is_one_that_a_reference_can_hold(client: TestClient, name: Any) -> None:
    assert assert_problem(declare(client, name), 422, "validation-failed")["errors"][0]["pointer"] == "/name"


def test_a_layer_of_a_billion_units_is_refused_at_its_place(client: TestClient) -> None:
    network = {"layers": [{"type": "dense", "units": 8}, {"type": "dense", "units": 10**9}]}
    problem = assert_problem(declare(client, network=network), 422, "limits-exceeded")
    assert problem["errors"][0]["pointer"] == "/network/layers/1/units"
    wide = {"layers": [{"type": "dense", "units": 65_536}] * 2}
    problem = assert_problem(declare(client, network=wide), 422, "limits-exceeded")
    assert problem["errors"][0]["pointer"] == "/network/layers/1"
    problem = assert_problem(declare(client, network={"layers": [{"type": "conv"}]}), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == "/network/layers/0"
    deep: Any = {"layers": []}
    for _ in range(40):
        deep = {"layers": [{"type": "residual", **deep}]}
    assert_problem(declare(client, network=deep), 400, "malformed-json")
    assert client.get("/v1/specs/wide").status_code == 404


def test_a_project_declares_so_many_names_and_no_more(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_NAMES", 2)
    assert [declare(client, name).status_code for name in ("a", "b")] == [201, 201]
    assert_problem(declare(client, "c"), 422, "limits-exceeded")
    assert declare(client, "a").json()["reference"] == "a@2"


def test_other_projects_do_not_see_it_and_may_use_its_name(
    client: TestClient, stranger: dict[str, str], dataset_id: str
) -> None:
    declare(client, params={"epochs": 7})
    for path in ("", "/versions", "/versions/1"):
        assert_problem(client.get(f"/v1/specs/wide{path}", headers=stranger), 404, "not-found")
    assert_problem(client.delete("/v1/specs/wide/versions/1", headers=stranger), 404, "not-found")
    theirs = client.post("/v1/specs", json={"name": "wide", "network": EMBEDDED}, headers=stranger)
    assert theirs.json()["reference"] == "wide@1"
    assert client.get("/v1/specs/wide").json()["params"] == {"epochs": 7}


def test_a_create_that_is_repeated_makes_one_version_and_is_audited(client: TestClient) -> None:
    body = {"name": "wide", "network": NETWORK}
    first, again = (client.post("/v1/specs", json=body, headers={"idempotency-key": "k"}) for _ in range(2))
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert len(client.get("/v1/specs/wide/versions").json()["data"]) == 1
    client.delete("/v1/specs/wide/versions/1")
    entries = client.get("/v1/audit").json()["data"]
    told = [(each["action"], each["target"]) for each in entries if each["action"].startswith("spec.")]
    assert told == [("spec.create", "wide@1"), ("spec.delete_version", "wide@1")]


def test_a_job_pins_the_version_that_it_was_given(app: FastAPI, client: TestClient, dataset_id: str) -> None:
    first = declare(client, params={"epochs": 7}).json()
    job = submit(client, dataset_id, "wide").json()
    assert (job["spec"], job["spec_version"], job["params"]["epochs"]) == ("wide", 1, 7)
    declare(client, params={"epochs": 9})
    client.post(f"/v1/jobs/{job['id']}/cancel")
    again = client.post(f"/v1/jobs/{job['id']}/retry").json()
    plan = planned(app, again["id"])
    assert plan == planned(app, job["id"])
    declaration = plan["declaration"]
    assert (declaration["version"], declaration["sha256"]) == (1, first["sha256"])
    assert declaration["network"] == first["network"]
    newest = submit(client, dataset_id, "wide", params={"epochs": 11}).json()
    assert (newest["spec_version"], newest["params"]["epochs"]) == (2, 11)
    assert submit(client, dataset_id, "wide@1").json()["spec_version"] == 1
    assert submit(client, dataset_id, "dense@1").json()["spec_version"] == 1


@pytest.mark.parametrize(
    "spec", ["wide@2", "wide@0", "wide@", "wide@x", "wide@1@1", "wide@" + "9" * 30, "dense@2", "no"]
)
def test_a_reference_to_nothing_points_at_the_spec(client: TestClient, dataset_id: str, spec: str) -> None:
    declare(client)
    problem = assert_problem(submit(client, dataset_id, spec), 422, "validation-failed")
    assert problem["errors"][0]["pointer"] == "/spec"


def test_a_version_goes_only_while_nothing_has_it_in_its_record(client: TestClient, dataset_id: str) -> None:
    for _ in range(2):
        declare(client)
    job = submit(client, dataset_id, "wide@1").json()["id"]
    problem = assert_problem(client.delete("/v1/specs/wide/versions/1"), 409, "in-use")
    assert problem["errors"] == [{"pointer": f"/jobs/{job}", "detail": "the job has it in its record"}]
    assert client.delete("/v1/specs/wide/versions/2").status_code == 204
    assert_problem(client.get("/v1/specs/wide/versions/2"), 404, "not-found")
    assert client.get("/v1/specs/wide").json()["reference"] == "wide@1"
    assert declare(client).json()["reference"] == "wide@3", "a number never means something else"


def test_a_name_whose_versions_are_all_gone_is_gone(client: TestClient, dataset_id: str) -> None:
    declare(client)
    client.delete("/v1/specs/wide/versions/1")
    assert_problem(client.get("/v1/specs/wide"), 404, "not-found")
    assert "wide" not in [each["name"] for each in client.get("/v1/specs").json()["data"]]
    assert_problem(submit(client, dataset_id, "wide"), 422, "validation-failed")


def test_a_model_keeps_its_spec(
    app: FastAPI, client: TestClient, owner: Principal, trained: Trained, dataset_id: str
) -> None:
    made = declare(client).json()
    store_version(app, owner, trained, dataset_id)
    with app.state.sessions.begin() as session:
        row = session.query(ModelVersionRow).one()
        row.spec = "wide"
        row.manifest = row.manifest | {"spec": {"name": "wide", "version": 1, "sha256": made["sha256"]}}
    problem = assert_problem(client.delete("/v1/specs/wide/versions/1"), 409, "in-use")
    assert problem["errors"] == [{"pointer": "/models/penguins@1", "detail": "the model has it in its record"}]


def test_a_study_keeps_the_version_that_it_was_given(client: TestClient, dataset_id: str) -> None:
    declare(client, params={"epochs": 3})
    space = {"learning_rate": {"type": "float", "low": 0.001, "high": 0.1}}
    asked = {"dataset": dataset_id, "target": "species", "spec": "wide", "space": space, "sampler": "random"}
    study = client.post("/v1/studies", json=asked)
    assert (study.status_code, study.json()["spec"]) == (201, "wide@1")
    problem = assert_problem(client.delete("/v1/specs/wide/versions/1"), 409, "in-use")
    assert problem["errors"][0]["pointer"] == f"/studies/{study.json()['id']}"
    wrong = client.post("/v1/studies", json=asked | {"spec": "wide@2"})
    assert assert_problem(wrong, 422, "validation-failed")["errors"][0]["pointer"] == "/spec"


def test_the_published_schema_is_the_grammar(client: TestClient) -> None:
    schema = client.get("/v1/specs:schema").json()
    jsonschema_rs.meta.validate(schema)
    for network in (NETWORK, EMBEDDED, {"layers": []}):
        jsonschema_rs.validate(schema, network)
        assert declare(client, network=network).status_code == 201
    for network in ({}, {"layers": [{"type": "conv"}]}, {"layers": [{"type": "dense", "units": 10**9}]}, {"layer": []}):
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schema, network)
        assert declare(client, network=network).status_code == 422
