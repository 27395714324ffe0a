"""Our own dialect: rows by column name, or a matrix; one answer per row with its warnings."""

from __future__ import annotations

from typing import Any

import orjson

from app.errors import Invalid, TooLarge
from app.learning.errors import InputError
from app.learning.runtime import Prediction, Predictor
from app.predictions.loaded import Loadable
from app.predictions.protocols import options

MEMBERS = frozenset({"rows", "columns", "data", "id"}) | options.NAMES
MAX_ID = 256


def num_rows(body: Any, *, max_rows: int) -> int:
    """How many rows a request holds. Raises: Invalid when it is none; TooLarge."""
    if not isinstance(body, dict):
        raise _invalid("/", "Expected an object with `rows`, or with `columns` and `data`.")
    unknown = sorted(body.keys() - MEMBERS)
    if unknown:
        raise _invalid(f"/{unknown[0][:64]}", "There is no such member; use `rows`, or `columns` and `data`.")
    if ("rows" in body) == ("data" in body) or ("rows" in body and "columns" in body):
        raise _invalid("/", "Send either `rows`, or `data` with or without `columns`.")
    member = "rows" if "rows" in body else "data"
    rows = body[member]
    if not isinstance(rows, list) or not rows:
        raise _invalid(f"/{member}", "Expected an array with at least one row.")
    if not isinstance(body.get("columns", []), list):
        raise _invalid("/columns", "Expected an array of column names.")
    if "id" in body and not is_id(body["id"]):
        raise _invalid("/id", f"Expected a string of at most {MAX_ID} characters.")
    if len(rows) > max_rows:
        raise TooLarge(f"A request may hold {max_rows} rows; this one has {len(rows)}.")
    return len(rows)


def is_id(value: object) -> bool:
    """Whether a client may call a prediction so."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID


def predict(predictor: Predictor, body: dict[str, Any]) -> list[Prediction]:
    """The predictions of a checked request. Raises: Invalid pointing at each value that cannot be used."""
    try:
        predictions: list[Prediction] = (
            predictor.predict_rows(body["rows"])
            if "rows" in body
            else predictor.predict_matrix(body.get("columns"), body["data"])
        )
        if not options.NAMES.isdisjoint(body):
            options.apply(predictions, body, predictor)
        return predictions
    except InputError as error:
        first = error.errors[0]
        detail = f"{first['pointer']}: {first['detail']}"
        raise Invalid(detail, code="schema-mismatch", errors=[dict(e) for e in error.errors]) from None


def draw(model: Loadable, predictions: list[Prediction], id: str) -> bytes:
    """An answer: who gave it, under which id, and a prediction for each row."""
    told = {} if model.snapshot is None else {"snapshot": model.snapshot}
    return orjson.dumps({"model": model.reference, "id": id, **told, "predictions": predictions})


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, code="schema-mismatch", errors=[{"pointer": pointer, "detail": detail}])
