"""The model card: what is known about a version, from its manifest and its evaluation, with warnings in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.models.calls import calls_of
from app.tables import ModelVersionRow

NUM_WORST = 5
FEW_ROWS = 100
# Twice the error of all rows is worth a word.
MUCH_WORSE = 2.0


def card_of(row: ModelVersionRow, reference: str, evaluation: dict[str, Any], server: str) -> dict[str, Any]:
    """The members of a card; `server` is the URL under which the client reaches this service."""
    manifest = row.manifest
    return {
        "model": reference,
        "created_at": row.created_at,
        "task": manifest["task"],
        "target": manifest["target"],
        "classes": manifest["classes"],
        "data": manifest["dataset"] | {"id": row.dataset_id},
        "split": manifest["split"],
        "quality": _quality(row, evaluation),
        "calibration": manifest.get("calibration"),
        "conformal": manifest.get("conformal"),
        "coverage": evaluation["coverage"],
        "worst_slices": evaluation["slices"][:NUM_WORST],
        "inputs": manifest["inputs"],
        "training": manifest["training"]
        | {name: manifest[name] for name in ("spec", "params", "seed", "threads", "num_inputs", "num_parameters")},
        "libraries": manifest["libraries"],
        "limits": list(_limits(manifest, evaluation)),
        "calls": calls_of(reference, manifest, server),
    }


def _quality(row: ModelVersionRow, evaluation: dict[str, Any]) -> dict[str, Any]:
    part = evaluation["part"]
    return {
        "part": part,
        "num_rows": evaluation["num_rows"],
        "metrics": evaluation["metrics"],
        "intervals": evaluation["intervals"],
        "level": evaluation["level"],
        "constant": row.metrics["baseline"][part],
        "linear": row.metrics.get("linear", {}).get(part),
        "against_linear": evaluation["against_linear"],
    }


def _limits(manifest: dict[str, Any], evaluation: dict[str, Any]) -> Iterator[str]:
    part, num_rows, primary = evaluation["part"], evaluation["num_rows"], evaluation["primary_metric"]
    if part != "test":
        yield f"No rows were set aside for testing: the metrics are those of the {part} part, and too good."
    if num_rows < FEW_ROWS:
        yield f"The metrics rest on {num_rows} rows; mind the width of their intervals."
    yield from _against_linear(evaluation, primary)
    if manifest["task"] in ("binary", "multiclass") and manifest.get("calibration") is None:
        yield "Its probabilities are not calibrated."
    missing = [
        text for text, bound in (manifest.get("conformal") or {"quantiles": {}})["quantiles"].items() if bound is None
    ]
    if missing:
        yield f"Too few rows were held out for intervals or sets with a coverage of {', '.join(missing)}."
    whole = evaluation["metrics"].get(primary)
    for each in evaluation["slices"][:1]:
        if whole and each["metrics"].get(primary, 0.0) > MUCH_WORSE * whole:
            yield f"It is much worse where {each['column']} is {each['label']} ({each['num_rows']} rows)."
    yield "Its metrics and intervals hold for rows like those it learned from; check rows that come from elsewhere."


def _against_linear(evaluation: dict[str, Any], primary: str) -> Iterator[str]:
    difference = evaluation["against_linear"].get(primary)
    if evaluation["linear_training"] is None:
        yield "No linear baseline was trained beside it: time or memory did not suffice."
    elif difference is not None and difference["interval"][1] >= 0:
        worse = difference["interval"][0] > 0
        yield f"It is {'worse than' if worse else 'not clearly better than'} a linear model of the same rows."
