"""Liveness, readiness, and metrics whose labels no client can choose."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.test_errors import assert_problem


def labels(client: TestClient) -> dict[tuple[str, str, str], float]:
    """Counted answers by method, route and status."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "maas_requests_total"
    }


def test_answers_are_counted_under_the_template_of_their_route(client: TestClient) -> None:
    for number in range(3):
        client.get(f"/v1/jobs/job_{number}")
        client.get(f"/nowhere/{number}")
        client.request(f"BREW{number}", "/v1/keys")
        client.request(f"BREW{number}", f"/elsewhere/{number}")
        client.get("/healthz", headers={"host": f"evil{number}"})
    counted = labels(client)
    assert counted["GET", "/v1/jobs/{job_id}", "404"] == 3
    assert counted["other", "unmatched", "404"] == 6
    assert not [label for labels in counted for label in labels if any(c in label for c in ("BREW", "evil", "job_1"))]


def test_the_metrics_are_what_their_content_type_says(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_the_metrics_tell_jobs_by_status(client: TestClient, version: int) -> None:
    assert 'maas_jobs{status="succeeded"} 1.0' in client.get("/metrics").text


def test_the_metrics_tell_nothing_of_the_jobs_of_other_projects(
    client: TestClient, version: int, stranger: dict[str, str]
) -> None:
    assert "maas_jobs{" not in client.get("/metrics", headers=stranger).text


def test_the_metrics_need_a_key(anonymous: TestClient) -> None:
    assert anonymous.get("/metrics").status_code == 401


def test_a_database_of_another_version_is_not_ready(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    with client.app.state.engine.begin() as connection:  # type: ignore[attr-defined]
        connection.execute(text("UPDATE maas_alembic_version SET version_num = 'elsewhere'"))
    assert_problem(client.get("/readyz"), 503, "db-unavailable")
    assert client.get("/healthz").status_code == 200


def test_the_reference_page_needs_no_script_and_no_network(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert 'href="http' not in answer.text
    assert "create_job" in answer.text
