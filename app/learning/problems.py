"""Pydantic's validation errors as problems with JSON pointers into the request."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from app.learning.errors import Problem, json_pointer

MAX_PROBLEMS = 20
WORDINGS = {
    "extra_forbidden": "There is no such parameter here.",
    "model_type": "Input should be an object",
    "dict_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "union_tag_not_found": "Its type is missing.",
}


def problems_of(error: ValidationError, data: Any, *prefix: str) -> list[Problem]:
    """Return one problem per place, in pydantic's order, each pointing below `prefix`."""
    problems: dict[str, Problem] = {}
    for item in error.errors(include_url=False, include_input=False):
        field = item.get("ctx", {}).get("field", "") if item["type"] == "inconsistent" else ""
        path = _path(item["loc"], data, is_missing=item["type"] == "missing")
        pointer = json_pointer(*prefix, *path, *([field] if field else []))
        detail = WORDINGS.get(item["type"], item["msg"].removeprefix("Value error, "))
        if pointer in problems:
            problems[pointer]["detail"] += f"; or: {detail}"
        elif len(problems) < MAX_PROBLEMS:
            problems[pointer] = {"pointer": pointer, "detail": detail}
    return list(problems.values())


def _path(location: tuple[int | str, ...], data: Any, *, is_missing: bool) -> list[int | str]:
    """Keep the parts that lead through `data`: a union also names the member types it tried."""
    path: list[int | str] = []
    for number, part in enumerate(location, start=1):
        if isinstance(data, dict) and isinstance(part, str):
            if part in data or (is_missing and number == len(location)):
                path.append(part)
                data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part] if part < len(data) else None
    return path
