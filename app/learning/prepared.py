"""From a request to arrays: read the data set, drop and split rows, learn the preparation, transform."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning import preprocess
from app.learning.columns import CategoryColumn
from app.learning.data import Column, Table, Values, is_missing, read_parquet
from app.learning.describe import describe, examples_of
from app.learning.errors import LearningError, shown
from app.learning.notes import TrainingNotes
from app.learning.parts import PARTS, Parts, divide, shares_missed
from app.learning.plan import Plan, resolve
from app.learning.preprocess import Inputs, Preparation
from app.learning.spec import CLASSIFICATION
from app.learning.tasks import Head, Targets, encode_targets, fit_head

Emit = Callable[[dict[str, Any]], None]
PLAN_MEMBERS = ("spec", "declaration", "params", "preparation", "split", "task", "seed", "max_parameters")
MAX_LISTED = 20
MOST_MEASURED_TRAIN_ROWS = 20_000
# Splits after which it does not matter which rows train and which validate.
AT_RANDOM = frozenset({"random", "stratified", "folds"})
MIN_ROWS = 2


@dataclass(frozen=True, slots=True)
class Rows:
    """One part, ready for a network: inputs, targets as learned, targets in their own units."""

    x_BF: Inputs
    learned_B: Targets
    values_B: Values

    def __len__(self) -> int:
        return len(self.learned_B)

    def take(self, which: slice | NDArray[np.intp]) -> Rows:
        """Return some of the rows."""
        return Rows(self.x_BF[which], self.learned_B[which], self.values_B[which])


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows of a request, read and divided; nothing was learned from them yet.

    `converted` holds the inputs read as the types that were asked for.
    """

    plan: Plan
    table: Table
    converted: Table
    parts: Parts


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows on which a model is measured: of the test part, or of what comes nearest to it.

    `inputs` are their columns as the data set holds them; rows with a class that no training row has are left out.
    """

    part: str
    inputs: Table


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that training needs to know about the data."""

    plan: Plan
    preparation: Preparation
    head: Head
    parts: Parts
    rows: dict[str, Rows]
    inputs: list[dict[str, Any]]
    measured: Sample


def plan_of(request: Mapping[str, Any]) -> Plan:
    """Plan a request again, in the child: what the API checked may not be what arrives here."""
    dataset = request["dataset"]
    members = {name: request[name] for name in PLAN_MEMBERS if request.get(name) is not None}
    return resolve(dataset["columns"], request["target"], num_rows=dataset["num_rows"], **members)


def select(request: Mapping[str, Any], emit: Emit) -> Selected:
    """Read the data set of a request and divide its rows, telling what was left out.

    Raises: LearningError when the data cannot be used as asked. Deterministic: a function of data and request.
    """
    plan = plan_of(request)
    emit({"type": "phase", "phase": "loading"})
    table = _read(request["dataset"], plan)
    emit({"type": "phase", "phase": "preprocessing"})
    notes = TrainingNotes()
    converted = preprocess.read_as(table, plan.treatments, notes)
    _tell_warnings(notes, emit)
    rows = _usable_rows(table, converted, plan, emit)
    return Selected(plan, table, converted, _split(table, rows, plan, emit))


def prepare(request: Mapping[str, Any], emit: Emit, *, learn_all: bool = False) -> Prepared:
    """Select the rows of a request, learn the preparation from those that train, and transform all.

    An ensemble divides rows at random by itself: the validation part joins the training part, and with `learn_all`
    the test part does, too.
    Raises: LearningError when the data cannot be used as asked. Deterministic: a function of data and request.
    """
    selected = select(request, emit)
    plan, table, converted, parts = selected.plan, selected.table, selected.converted, selected.parts
    if plan.spec.build is None and plan.split.method in AT_RANDOM:
        parts = _joined(parts, PARTS if learn_all else ("train", "validation"))
    preparation = preprocess.fit(
        converted.take(parts.train), plan.treatments,
        ignored=_told_apart(plan), extra_columns=plan.preparation.extra_columns,
    )  # fmt: skip
    _tell_left_out(preparation, emit)
    _tell_merged(preparation, emit)
    values = table.columns[plan.target["name"]]
    head = fit_head(values[parts.train], plan.target["type"], plan.task, scaling=plan.preparation.target_scaling)
    ready = {}
    for part in PARTS:
        ready[part] = _rows(converted.take(getattr(parts, part)), values[getattr(parts, part)], preparation, head)
        _tell_unknown_classes(part, len(getattr(parts, part)) - len(ready[part]), emit)
    inputs = describe(preparation, _examples(table, plan, parts.train))
    return Prepared(plan, preparation, head, parts, ready, inputs, _sample(table, plan, parts, ready, head))


def _sample(table: Table, plan: Plan, parts: Parts, ready: Mapping[str, Rows], head: Head) -> Sample:
    part = next(part for part in ("test", "validation", "train") if len(ready[part]))
    rows = getattr(parts, part)
    _, known = encode_targets(table.columns[plan.target["name"]][rows], head)
    names = [item.name for item in plan.treatments if item.policy is not None]
    measured = rows[known][evenly(int(known.sum()))] if part == "train" else rows[known]
    return Sample(part, Table(table.num_rows, {name: table.columns[name] for name in names}).take(measured))


def evenly(num_rows: int) -> slice:
    """Which rows of a training part are measured: of a large one, to save time, those at even distances."""
    return slice(None, None, max(1, -(-num_rows // MOST_MEASURED_TRAIN_ROWS)))


def _read(dataset: Mapping[str, Any], plan: Plan) -> Table:
    used = {item.name for item in plan.treatments if item.policy is not None} | {plan.target["name"]}
    used.add(plan.split.column or plan.target["name"])
    return read_columns(dataset, used)


def read_columns(dataset: Mapping[str, Any], names: Container[str]) -> Table:
    """Read some columns of a data set. Raises: LearningError when its bytes are not those of its digest."""
    columns: Sequence[Column] = [column for column in dataset["columns"] if column["name"] in names]
    path = Path(dataset["path"])
    digest = dataset.get("sha256")
    if digest is not None and _digest(path) != digest:
        raise LearningError("The data set's file does not match its digest.", code="dataset-corrupt")
    return read_parquet(path, columns)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _usable_rows(table: Table, converted: Table, plan: Plan, emit: Emit) -> NDArray[np.intp]:
    labelled = ~is_missing(table.columns[plan.target["name"]])
    complete = preprocess.complete_rows(converted, plan.treatments)
    _tell_dropped(emit, int((~labelled).sum()), f"have no value in the target {shown(plan.target['name'])}")
    _tell_dropped(emit, int((labelled & ~complete).sum()), "have missing values in columns with missing=drop_rows")
    rows = np.flatnonzero(labelled & complete)
    if len(rows) < MIN_ROWS:
        raise LearningError("Fewer than two rows are left to train on.", code="too-few-rows", pointer="/target")
    return rows


def _tell_warnings(notes: TrainingNotes, emit: Emit) -> None:
    for (column, code), found in list(notes.warnings.items())[:MAX_LISTED]:
        first = f"row {found.first_row + 1}: {found.detail}"
        message = f"{found.num_rows} values of column {shown(column)} are of the wrong type; {first}."
        data = {"column": column, "code": code, "num_rows": found.num_rows}
        emit({"type": "event", "level": "warning", "message": message, "data": data})


def _tell_dropped(emit: Emit, count: int, why: str) -> None:
    if count:
        message = f"{count} rows {why}; they are left out."
        emit({"type": "event", "level": "info", "message": message, "data": {"num_rows": count}})


def _split(table: Table, rows: NDArray[np.intp], plan: Plan, emit: Emit) -> Parts:
    key = None if plan.split.column is None else table.columns[plan.split.column][rows]
    classes = table.columns[plan.target["name"]][rows] if plan.task in CLASSIFICATION else None
    parts = divide(rows, plan.split, key=key, classes=classes, seed=plan.seed)
    if len(parts.train) < MIN_ROWS:
        message = f"The split leaves one row to train on; at least {MIN_ROWS} are needed."
        raise LearningError(message, code="too-few-rows", pointer="/split")
    _tell_rare_classes(classes, parts, emit)
    _tell_empty_parts(parts, plan, emit)
    for part, share, count in shares_missed(parts, plan.split):
        message = f"The {part} part has {count} of {len(rows)} rows; a share of {share:.3g} was asked for."
        data = {"part": part, "share": share, "num_rows": count}
        emit({"type": "event", "level": "warning", "message": message, "data": data})
    return parts


def _tell_rare_classes(classes: Values | None, parts: Parts, emit: Emit) -> None:
    if classes is None or not len(parts.validation) + len(parts.test):
        return
    names, counts = np.unique(classes, return_counts=True)
    rare = [shown(name) for name in names[counts == 1].tolist()]
    if rare:
        message = f"{len(rare)} classes have a single row, so whether they are learned cannot be measured: "
        message += ", ".join(rare[:MAX_LISTED]) + "."
        emit({"type": "event", "level": "warning", "message": message, "data": {"num_classes": len(rare)}})


def _tell_empty_parts(parts: Parts, plan: Plan, emit: Emit) -> None:
    stops_early = getattr(plan.params, "early_stopping", None) is not None
    if not len(parts.validation) and stops_early:
        message = "There is no validation row, so no epoch can be told to be the best: all run, the last one is kept."
        emit({"type": "event", "level": "warning", "message": message, "data": {"part": "validation"}})
    if not len(parts.test):
        message = "There is no test row: how good the model is on rows that it never saw is not known."
        emit({"type": "event", "level": "warning", "message": message, "data": {"part": "test"}})


def _rows(table: Table, values: Values, preparation: Preparation, head: Head) -> Rows:
    learned_B, known_B = encode_targets(values, head)
    x_BF = preparation.transform(table)
    return Rows(x_BF[known_B], learned_B[known_B], values[known_B])


def _tell_unknown_classes(part: str, count: int, emit: Emit) -> None:
    if count:
        message = f"{count} rows of the {part} part have a class that no training row has; they are left out."
        emit({"type": "event", "level": "warning", "message": message, "data": {"num_rows": count, "part": part}})


def _tell_left_out(preparation: Preparation, emit: Emit) -> None:
    reasons = preprocess.left_out(preparation.columns)
    if reasons:
        listed = dict(list(reasons.items())[:MAX_LISTED])
        message = f"{len(reasons)} columns are left out: {preprocess.reasons_of(reasons)}"
        emit({"type": "event", "level": "info", "message": message, "data": {"columns": listed}})


def _tell_merged(preparation: Preparation, emit: Emit) -> None:
    for column in preparation.columns:
        if isinstance(column, CategoryColumn) and column.has_other:
            kept = len(column.categories)
            message = f"Column {shown(column.name)}: the {kept} most frequent categories are told apart; all others are"
            data = {"column": column.name, "num_categories": kept}
            emit({"type": "event", "level": "info", "message": f"{message} one more.", "data": data})


def _joined(parts: Parts, names: Sequence[str]) -> Parts:
    """All rows of these parts in the training part, and none of them elsewhere."""
    train = np.sort(np.concatenate([getattr(parts, name) for name in names]))
    return replace(parts, **dict.fromkeys(names, train[:0]) | {"train": train})


def _told_apart(plan: Plan) -> list[str]:
    """The columns that are no inputs and yet belong to the data set: a prediction may carry them along."""
    return [plan.target["name"]] + ([plan.split.column] if plan.split.column is not None else [])


def _examples(table: Table, plan: Plan, train: NDArray[np.intp]) -> dict[str, Any]:
    stored = {item.name: item.stored for item in plan.treatments if item.policy is not None}
    first = Table(table.num_rows, {name: table.columns[name] for name in stored}).take(train[:MAX_LISTED])
    return examples_of(first, stored)
