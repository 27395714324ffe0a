"""The OpenAPI document, made true: our problems instead of the framework's errors, and the key in its header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.errors import MaasError
from app.web.dialects import DIALECTS, NATIVE, dialect_of
from app.web.problems import MEDIA_TYPE
from app.web.routing import PolicyRoute, walk

REFERENCE = "#/components/schemas/{model}"
LOCATION = {"description": "Where the new thing is.", "schema": {"type": "string"}}
DESCRIPTION = """
Upload a data set, start a background training job for a registered spec, call the model.

Send `Authorization: Bearer <key>` with every call. Creates take an `Idempotency-Key`; lists take `limit` and
`after`; `Prefer: wait=n` holds a create or a read of a job until it has ended. Every refusal is one problem
document (RFC 9457).
"""


def document(app: FastAPI, version: str) -> Callable[[], dict[str, Any]]:
    """A function that makes the document once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app, version)
        return app.openapi_schema

    return openapi


def _build(app: FastAPI, version: str) -> dict[str, Any]:
    schema = get_openapi(
        title="maas",
        version=version,
        summary="Self-hosted Model-as-a-Service",
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = schema["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for dialect in (NATIVE, *(dialect for _, dialect in DIALECTS)):
        components["schemas"].update(dialect.problem.schemas())
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
    for route in walk(app.routes):
        if isinstance(route, PolicyRoute) and route.include_in_schema:
            _complete(schema["paths"][route.path_format], route)
            _restore_examples(components["schemas"], route.response_model)
    return schema


def _restore_examples(schemas: dict[str, Any], model: Any) -> None:
    # The framework drops every null from the document, from examples too, which then lack required members.
    extra = getattr(model, "model_config", {}).get("json_schema_extra")
    if isinstance(extra, dict) and model.__name__ in schemas:
        schemas[model.__name__].update(extra)


def _complete(path: dict[str, Any], route: PolicyRoute) -> None:
    problem = {"$ref": REFERENCE.format(model=dialect_of(route.path_format).problem.__name__)}
    for method in route.methods or ():
        operation = path[method.lower()]
        needs_key = route.policy.scope is not None
        operation["security"] = [{"key": []}] if needs_key else []
        responses = operation["responses"]
        for status in _statuses(operation, method, needs_key):
            responses[str(status)] = {
                "description": TITLES[status],
                "content": {MEDIA_TYPE: {"schema": problem}},
            }
        if "201" in responses:
            responses["201"]["headers"] = {"Location": LOCATION}
        if needs_key:
            operation["description"] = f"{operation.get('description', '')}\n\nScope: `{route.policy.scope}`.".strip()


def _statuses(operation: dict[str, Any], method: str, needs_key: bool) -> list[int]:
    statuses = {421, 503, *(int(status) for status in operation["responses"] if status >= "400")}
    if needs_key:
        statuses |= {400, 401, 403}
    if "parameters" in operation or "requestBody" in operation:
        statuses |= {404, 422}
    if "requestBody" in operation:
        statuses |= {408, 413, 415, 507}
    if "206" in operation["responses"]:
        statuses |= {416}
    if method in ("POST", "PUT", "DELETE", "PATCH"):
        statuses |= {409}
    if any(parameter["name"].lower() == "if-match" for parameter in operation.get("parameters", [])):
        statuses |= {412}
    return sorted(statuses)


def _titles(tree: type[MaasError]) -> dict[int, str]:
    titles = {tree.status: tree.title}
    for child in tree.__subclasses__():
        titles |= _titles(child)
    return titles


TITLES = _titles(MaasError) | {408: "Request timeout", 421: "Misdirected request", 503: "Unavailable"}
