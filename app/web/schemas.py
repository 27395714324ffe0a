"""JSON Schemas of bodies that a route reads itself, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model, with what it refers to written out in place; the model must not contain itself."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                inner = definitions[node["$ref"].rpartition("/")[2]]
                return resolve(inner | {name: value for name, value in node.items() if name != "$ref"})
            return {name: resolve(value) for name, value in node.items()}
        return [resolve(each) for each in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved


def parameter(name: str, where: str, description: str, **schema: Any) -> dict[str, Any]:
    """A parameter that a route reads itself."""
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": schema or {"type": "string"},
    }
