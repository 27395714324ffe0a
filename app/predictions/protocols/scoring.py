"""The bodies of MLflow's scoring server and of KServe's first protocol; both answer `{"predictions": […]}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from app.learning.errors import json_pointer, shown
from app.learning.runtime import Prediction
from app.predictions.protocols.options import NAMES
from app.predictions.protocols.questions import Question, of_columns, of_list, of_matrix
from app.predictions.protocols.refusals import refused


def _split(split: Any, pointer: str, *, max_rows: int) -> Question:
    if not isinstance(split, dict) or not {"columns", "data"} <= split.keys() <= {"columns", "data", "index"}:
        raise refused(pointer, "expected an object with columns and data, with or without index")
    return of_matrix(split["columns"], split["data"], pointer, max_rows=max_rows)


def _inputs(inputs: Any, pointer: str, *, max_rows: int) -> Question:
    read = of_columns if isinstance(inputs, dict) else of_list
    return read(inputs, pointer, max_rows=max_rows)


FORMS: dict[str, Callable[..., Question]] = {
    "dataframe_split": _split,
    "dataframe_records": of_list,
    "instances": of_list,
    "inputs": _inputs,
}


def read_mlflow(body: Any, *, max_rows: int) -> tuple[Question, dict[str, Any]]:
    """The rows of a body of MLflow, in one of its four forms, and its options. Raises: Invalid; TooLarge."""
    return _read(body, tuple(FORMS), "params", max_rows)


def read_kserve(body: Any, *, max_rows: int) -> tuple[Question, dict[str, Any]]:
    """The rows of a body of KServe's first protocol, and its options. Raises: Invalid; TooLarge."""
    return _read(body, ("instances",), "parameters", max_rows)


def _read(body: Any, forms: tuple[str, ...], options: str, max_rows: int) -> tuple[Question, dict[str, Any]]:
    if not isinstance(body, dict):
        raise refused("/", f"expected an object with one of {', '.join(forms)}")
    given = [name for name in forms if name in body]
    if len(given) != 1:
        raise refused("/", f"expected exactly one of {', '.join(forms)}, got {len(given)}")
    unknown = sorted(body.keys() - {given[0], options})
    if unknown:
        raise refused(json_pointer(unknown[0][:64]), f"there is no such member beside {given[0]} and {options}")
    params = body.get(options) or {}
    if not isinstance(params, dict):
        raise refused(f"/{options}", "expected an object")
    for name in sorted(params.keys() - NAMES):
        detail = f"{shown(name)} is no option; there are {', '.join(sorted(NAMES))}"
        raise refused(f"/{options}" + json_pointer(name[:64]), detail)
    return FORMS[given[0]](body[given[0]], f"/{given[0]}", max_rows=max_rows), params


def draw(predictions: list[Prediction]) -> bytes:
    """The answer."""
    return orjson.dumps({"predictions": predictions})
