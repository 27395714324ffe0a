"""An OpenAPI document of one version: its columns with their categories and ranges, its classes, an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.models.calls import example_of, inputs_of

KINDS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer"},
    "real": {"type": "number"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
}
TEXT: dict[str, Any] = {"type": "string"}
# Rows without a value in such a column are refused.
NEEDED = ("reject", "drop_rows")


def document_of(reference: str, manifest: Mapping[str, Any], server: str, problem: Mapping[str, Any]) -> dict[str, Any]:
    """The document of the native call on a server with this URL; `problem` has the schemas of refusals."""
    row = example_of(manifest)
    responses = {
        "200": {"description": "A prediction for each row.", "content": _json("PredictResponse")},
        "default": {"description": "Why not.", "content": {"application/problem+json": _reference("Problem")}},
    }
    operation = {
        "operationId": "predict",
        "summary": f"Predict {manifest['target']['name']}",
        "requestBody": {"required": True, "content": _json("PredictRequest", example={"rows": [row]})},
        "responses": responses,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": reference, "version": reference.partition("@")[2], "summary": f"A {manifest['task']} model"},
        "servers": [{"url": server}],
        "security": [{"key": []}],
        "paths": {f"/v1/models/{reference}/predict": {"post": operation}},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_schemas(reference, manifest), **problem},
        },
    }


def _schemas(reference: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}}
    predictions = {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    return {
        "Row": _row(manifest),
        "PredictRequest": _object({"rows": rows, "id": TEXT}, "rows"),
        "Prediction": _prediction(manifest),
        "Warning": _object({"column": TEXT, "code": TEXT, "detail": TEXT}, "column", "code", "detail"),
        "PredictResponse": _object(
            {"model": {"type": "string", "const": reference}, "id": TEXT, "predictions": predictions},
            *("model", "id", "predictions"),
        ),
    }


def _row(manifest: Mapping[str, Any]) -> dict[str, Any]:
    columns = inputs_of(manifest)
    needed = [column["name"] for column in columns if column["missing"]["strategy"] in NEEDED]
    row = _object({column["name"]: _column(column) for column in columns}, *needed)
    allowed = manifest["preparation"]["extra_columns"] != "reject"
    return row | {"additionalProperties": allowed, "examples": [example_of(manifest)]}


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    value = dict(KINDS.get(column["type"], TEXT))
    if column["role"] == "numeric" and column["type"] in ("integer", "real"):
        value |= {"minimum": column["minimum"], "maximum": column["maximum"]}
        told = f"Seen in training; out of range: {column['out_of_range']}."
    elif column["role"] == "category" and column["type"] in ("category", "text", "identifier"):
        value["enum"] = column["categories"]
        told = f"Seen in training; unseen: {column['unseen']}."
    else:
        told = f"A {column['type']}."
    if column["missing"]["strategy"] not in NEEDED:
        value = {"anyOf": [value, {"type": "null"}]}
        told += f" Missing: {column['missing']['strategy']}."
    return value | {"description": told, "examples": [column["example"]]}


def _prediction(manifest: Mapping[str, Any]) -> dict[str, Any]:
    warnings = {"type": "array", "items": {"$ref": "#/components/schemas/Warning"}}
    classes = manifest["classes"]
    if not classes:
        return _object({"value": {"type": "number"}, "warnings": warnings}, "value", "warnings")
    keys = [str(label).lower() if isinstance(label, bool) else str(label) for label in classes]
    share = {"type": "number", "minimum": 0, "maximum": 1}
    kind = {bool: "boolean", int: "integer"}.get(type(classes[0]), "string")
    members = {
        "label": {"type": kind, "enum": classes},
        "probabilities": _object(dict.fromkeys(keys, share), *keys),
        "warnings": warnings,
    }
    return _object(members, *members)


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _reference(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _json(name: str, **more: Any) -> dict[str, Any]:
    return {"application/json": _reference(name) | more}
