"""One evaluation on request, from versions and rows to a document: what runs inside a child of an evaluation job.

Answers come from the exported graphs on ONNX Runtime, as predictions do. Shapes: rows_I numbers of rows in the table.
Deterministic: same request, data and CPU give the same document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.learning import weights
from app.learning.data import Indices, Table, Values, is_missing
from app.learning.errors import LearningError, shown
from app.learning.evaluation.answered import Answered
from app.learning.evaluation.bootstrap import compare
from app.learning.evaluation.document import FORMAT, Columns, Served, describe_answers, encode
from app.learning.prepared import Emit, read_columns, select
from app.learning.preprocess import convert_inputs
from app.learning.runtime import Predictor
from app.learning.tasks import Head, encode_targets
from app.learning.values import convert

MIN_ROWS = 2
REQUIRED = ("drop_rows", "reject")


@dataclass(frozen=True, slots=True)
class Version:
    """A version that is measured: how to answer, and which rows of this table it knows from its training."""

    reference: str
    head: Head
    predictor: Predictor
    manifest: Mapping[str, Any]
    parts: Mapping[str, Indices]


class Interrupted(Exception):
    """The work was asked to end: to pause, or for good."""


def run(request: Mapping[str, Any], *, folder: Path, emit: Emit, control: Callable[[], str | None]) -> None:
    """Measure one version, or two on the same rows; the document is written into `folder`.

    `control` is asked between the steps and answers None or a word that ends the work. Expected failures end as an
    `error` message; anything raised is a bug.
    """
    try:
        document = _evaluate(request, emit, control)
    except LearningError as error:
        emit({"type": "error", "code": error.code, "message": error.message, "pointer": error.pointer})
    except Interrupted as asked:
        emit({"type": "stopped", "reason": "cancelled" if str(asked) == "cancel" else "paused"})
    else:
        written = weights.write_bytes(folder / "evaluation.json", encode(document))
        part = document["part"]
        metrics = {part: document["metrics"], "intervals": {part: document["intervals"]}}
        emit({"type": "result", "files": {"evaluation": written}, "metrics": metrics})


def _evaluate(request: Mapping[str, Any], emit: Emit, control: Callable[[], str | None]) -> dict[str, Any]:
    emit({"type": "phase", "phase": "loading"})
    versions = [_load(each, request["dataset"]) for each in request["versions"]]
    types = {column["name"]: column["type"] for column in request["dataset"]["columns"]}
    asked = request["slices"]
    sliced = list(versions[0].predictor.preparation.input_names) if asked is None else asked
    names = {request["target"], *sliced}.union(*(each.predictor.preparation.input_names for each in versions))
    table = read_columns(request["dataset"], names)
    _obey(control)
    emit({"type": "phase", "phase": "evaluating"})
    rows_I = _rows(request, table, types, versions, emit)
    chosen = table.take(rows_I)
    answered = [_answer(each, chosen, request["target"], types) for each in versions]
    _obey(control)
    about = {name: request[name] for name in ("part", "target", "task")}
    about |= {"format": FORMAT, "dataset": request["dataset"]["id"]}
    overlap = {each.reference: _overlap(each, rows_I) for each in versions}
    columns = Columns({name: chosen.columns[name] for name in sliced}, types, every=asked is not None)
    described = _describe(versions[0], answered[0], columns, overlap, request["seed"])
    compared = _comparison(versions[1].reference, answered, request["seed"]) if len(versions) > 1 else None
    return about | described | {"comparison": compared, "overlap": overlap}


def _obey(control: Callable[[], str | None]) -> None:
    word = control()
    if word is not None:
        raise Interrupted(word)


def _describe(
    version: Version, answered: Answered, columns: Columns, overlap: Mapping[str, Mapping[str, int]], seed: int
) -> dict[str, Any]:
    calibration = version.manifest.get("calibration") or {}
    served = Served(calibration.get("temperature", 1.0), version.manifest.get("conformal"))
    is_new = not any(overlap[version.reference].values())
    warnings = [_sentence(reference, known) for reference, known in overlap.items() if any(known.values())]
    return describe_answers(answered, columns, served, seed=seed, is_new=is_new) | {"warnings": warnings}


def _load(version: Mapping[str, Any], dataset: Mapping[str, Any]) -> Version:
    manifest = version["manifest"]
    output = manifest["output"]
    head = Head(output["task"], tuple(output["classes"] or ()), output["shift"], output["scale"])
    parts: dict[str, Indices] = {}
    if version["plan"] is not None:
        divided = select({**version["plan"], "dataset": dataset}, lambda message: None).parts
        parts = {part: getattr(divided, part) for part in ("train", "validation", "test")}
    predictor = Predictor.load(manifest, Path(version["graph"]).read_bytes())
    return Version(version["reference"], head, predictor, manifest, parts)


def _rows(
    request: Mapping[str, Any], table: Table, types: Mapping[str, str], versions: Sequence[Version], emit: Emit
) -> Indices:
    """The rows of the part that have a target that every version knows, and the values that they require."""
    part, target = request["part"], table.columns[request["target"]]
    rows_I = np.arange(table.num_rows) if part == "all" else versions[0].parts[part]
    usable_I = ~is_missing(target[rows_I])
    for version in versions:
        for column in version.predictor.preparation.inputs:
            if column.missing in REQUIRED:
                usable_I &= ~is_missing(table.columns[column.name][rows_I])
    _tell_left_out(emit, int((~usable_I).sum()), "have no value in the target, or in a column that requires one")
    rows_I = rows_I[usable_I]
    known_I = np.ones(len(rows_I), np.bool_)
    for version in versions:
        values = _truth(version, table.take(rows_I), request["target"], types)
        known_I &= encode_targets(values, version.head)[1]
    _tell_left_out(emit, int((~known_I).sum()), "have a class that was not learned")
    if known_I.sum() < MIN_ROWS:
        raise LearningError("Fewer than two rows are left to measure on.", code="too-few-rows", pointer="/part")
    return rows_I[known_I]


def _truth(version: Version, table: Table, target: str, types: Mapping[str, str]) -> Values:
    """The target of the rows, read as the version's target is stored."""
    return convert(table.columns[target], types[target], version.manifest["target"]["type"], _refuse(target))


def _answer(version: Version, table: Table, target: str, types: Mapping[str, str]) -> Answered:
    inputs = convert_inputs(table, version.predictor.preparation.inputs, types)
    values_B = _truth(version, table, target, types)
    learned_B, _ = encode_targets(values_B, version.head)
    return Answered(version.head, version.predictor.answer_table(inputs), learned_B, values_B)


def _comparison(other: str, answered: Sequence[Answered], seed: int) -> dict[str, Any]:
    """The differences to the other version, over the classes that either of them knows."""
    first, second = _over_all_classes(answered)
    return {"model": other, "differences": compare(first.scores(), second.scores(), seed=seed)}


def _over_all_classes(answered: Sequence[Answered]) -> list[Answered]:
    """The same answers with the same classes in the same order; to a class it does not know, a version gives 0."""
    heads = [each.head for each in answered]
    if heads[0].classes == heads[1].classes:
        return list(answered)
    classes = (*heads[0].classes, *(label for label in heads[1].classes if label not in heads[0].classes))
    task: Any = "binary" if len(classes) == 2 else "multiclass"
    spread = []
    for each in answered:
        places = np.array([classes.index(label) for label in each.head.classes])
        y_BK = np.zeros((len(each), len(classes)))
        y_BK[:, places] = each.y_BK
        spread.append(Answered(Head(task, classes), y_BK, places[each.classes_B].astype(np.float64), each.values_B))
    return spread


def _overlap(version: Version, rows_I: Indices) -> dict[str, int]:
    """How many of the rows the version has learned from, and how many chose its best weights and temperature."""
    # Once it was measured, an ensemble may have learned the test part, too.
    learned = ("train", "test") if version.manifest["training"].get("knows_test") else ("train",)
    known = {"train": learned, "validation": ("validation",)}
    return {
        name: sum(int(np.isin(rows_I, version.parts[part]).sum()) for part in parts if version.parts)
        for name, parts in known.items()
    }


def _sentence(reference: str, known: Mapping[str, int]) -> str:
    return (
        f"{reference} has learned from {known['train']} of these rows and was chosen by {known['validation']}: "
        "its metrics are too good."
    )


def _tell_left_out(emit: Emit, count: int, why: str) -> None:
    if count:
        message = f"{count} rows {why}; they are left out."
        emit({"type": "event", "level": "warning", "message": message, "data": {"num_rows": count}})


def _refuse(column: str) -> Callable[[int, ValueError], None]:
    def report(row: int, error: ValueError) -> None:
        raise LearningError(
            f"Row {row + 1}, column {shown(column)}: {error}.", code="dataset-mismatch", pointer="/dataset"
        )

    return report
