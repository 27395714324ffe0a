"""The OpenAPI document against the service: whatever fits or misfits it, no 5xx and no undocumented answer."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from app.principal import Principal
from app.settings import Settings
from tests.trained import store_job
from tests.web.test_openapi import OPERATIONS

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
IDS = {"name": "penguins", "version": 1, "alias": "champion", "reference": "penguins@1", "model": "penguins"}


@schemathesis.serializer("application/offset+octet-stream")
def _bytes_of_a_part(_: Any, value: Any) -> bytes:
    """A part of a resumable upload, as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings that accept the name by which the tool calls the service."""
    return settings.model_copy(update={"allowed_hosts": "*"})


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.usefixtures("version")
def test_no_request_surprises_the_document(
    operation: str, app: FastAPI, client: TestClient, owner: Principal, dataset_id: str
) -> None:
    method, path = OPERATIONS[operation].split(" ")
    client.post("/v1/specs", json={"name": "penguins", "network": {"layers": []}})
    ids = IDS | {"dataset_id": dataset_id, "job_id": store_job(app, owner, dataset_id)}
    described = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]

    @examples(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy())
    def ask(case: Any) -> None:
        headers = dict(client.headers)
        case.call_and_validate(headers=headers, checks=list(CHECKS))
        # Once more about things that exist: odd parameters and bodies get further then.
        case.path_parameters = {name: ids.get(name, value) for name, value in case.path_parameters.items()}
        if isinstance(case.body, dict) and "dataset" in case.body:
            case.body |= {"dataset": dataset_id, "target": "species"}
        case.call_and_validate(headers=headers, checks=list(CHECKS))

    ask()
