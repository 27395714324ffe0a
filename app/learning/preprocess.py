"""Data preparation as part of a model: learned from training rows, applied alike in training and prediction.

Shapes: x_BF (rows, inputs) float32: first one input per numeric column, then the missing indicators, then
the inputs of each category column. B rows, N numeric columns, F inputs. Deterministic: no randomness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.columns import (
    UNKNOWN,
    CategoryColumn,
    FittedColumn,
    LeftOut,
    NumericColumn,
    column_from_json,
    column_to_json,
    encode,
    fit_column,
)
from app.learning.data import Table, is_missing
from app.learning.errors import LearningError, json_pointer, shown
from app.learning.layout import Block, Layout
from app.learning.notes import Notes, NoteTaker, TrainingNotes
from app.learning.policies import Treatment
from app.learning.values import Cells, Matrix, NotFinite, coerce, convert, numbers_of

Inputs = NDArray[np.float32]
MAX_REASONS = 5


def read_as(table: Table, treatments: Sequence[Treatment], notes: NoteTaker) -> Table:
    """Return the used columns, each read as the type that was asked for; what cannot be read goes to `notes`."""
    columns = {}
    for treatment in treatments:
        if treatment.policy is not None:
            report = partial(_note_cell, treatment.name, treatment.policy.wrong_type, notes)
            columns[treatment.name] = convert(table.columns[treatment.name], treatment.stored, treatment.type, report)
    return Table(table.num_rows, columns)


def convert_inputs(
    table: Table,
    inputs: Sequence[NumericColumn | CategoryColumn],
    types: Mapping[str, str],
    notes: NoteTaker | None = None,
) -> Table:
    """Return the inputs of a model from a table whose columns are of these types, each read as the model reads it.

    What cannot be read is missing where its column imputes it; where not, `notes` are told. Raises: without notes,
    LearningError naming the row.
    """
    columns = {}
    for column in inputs:
        report = partial(_note_cell, column.name, column.wrong_type, notes or TrainingNotes())
        columns[column.name] = convert(table.columns[column.name], types[column.name], column.type, report)
    return Table(table.num_rows, columns)


def complete_rows(table: Table, treatments: Sequence[Treatment]) -> NDArray[np.bool_]:
    """Return which rows (n,) stay when columns with missing=drop_rows have their way.

    Raises: LearningError when a column with missing=reject has a missing value.
    """
    keep = np.ones(table.num_rows, np.bool_)
    for treatment in treatments:
        if treatment.policy is None or treatment.policy.missing not in ("drop_rows", "reject"):
            continue
        missing = is_missing(table.columns[treatment.name])
        if treatment.policy.missing == "reject" and missing.any():
            raise LearningError(
                f"Row {int(missing.argmax()) + 1}, column {shown(treatment.name)}: a value is missing.",
                pointer=json_pointer("preparation", "columns", treatment.name, "missing"),
            )
        keep &= ~missing
    return keep


def fit(table: Table, treatments: Sequence[Treatment], *, ignored: Sequence[str], extra_columns: str) -> Preparation:
    """Learn every column from the training rows; `ignored` names may appear in predictions (the target).

    Raises: LearningError when no column is left, or numbers are too large.
    """
    fitted: list[FittedColumn] = [
        fit_column(table.columns[item.name], item)
        if item.policy is not None
        else LeftOut(item.name, item.stored, item.reason or "not used")
        for item in treatments
    ]
    reasons = left_out(fitted)
    if len(reasons) == len(fitted):
        message = f"No column is left to learn from{': ' if reasons else '.'}{reasons_of(reasons)}"
        raise LearningError(message, code="no-inputs", pointer="/preparation", details={"columns": reasons})
    return Preparation(fitted, ignored=ignored, extra_columns=extra_columns)


def left_out(columns: Iterable[FittedColumn]) -> dict[str, str]:
    """Return the reason of every column that is no input."""
    return {column.name: column.reason for column in columns if isinstance(column, LeftOut)}


def reasons_of(reasons: Mapping[str, str]) -> str:
    """Return the first few reasons as one sentence."""
    named = [f"{shown(name)} ({reason})" for name, reason in list(reasons.items())[:MAX_REASONS]]
    return ", ".join(named) + (f" and {len(reasons) - MAX_REASONS} more." if len(reasons) > MAX_REASONS else ".")


class Preparation:
    """The fitted state: `transform` maps typed columns to the network's inputs."""

    def __init__(self, columns: Sequence[FittedColumn], *, ignored: Sequence[str], extra_columns: str) -> None:
        self.columns = tuple(columns)
        self.ignored = tuple(ignored)
        self.extra_columns = extra_columns
        self.inputs = tuple(column for column in columns if not isinstance(column, LeftOut))
        self.input_names = tuple(column.name for column in self.inputs)
        self.known_names = frozenset(column.name for column in columns) | frozenset(ignored)
        self._numeric = [column for column in self.inputs if isinstance(column, NumericColumn)]
        self._categories = [column for column in self.inputs if isinstance(column, CategoryColumn)]
        self._slots = [column.slots() for column in self._categories]
        numbers = ("integer", "real")
        self._reads_numbers = all(column.stored in numbers and column.type in numbers for column in self.inputs)
        self._gather()

    def _gather(self) -> None:
        numeric = self._numeric
        self._center_N = np.array([column.center for column in numeric])
        self._scale_N = np.array([column.scale for column in numeric])
        self._fill_N = np.array([column.fill or 0.0 for column in numeric])
        unbounded = [column.out_of_range == "accept" for column in numeric]
        self._low_N = np.where(unbounded, -np.inf, [column.minimum for column in numeric])
        self._high_N = np.where(unbounded, np.inf, [column.maximum for column in numeric])
        self._indicators = np.flatnonzero([column.indicator for column in numeric])
        self._quantiles = [index for index, column in enumerate(numeric) if column.quantiles]
        blocks = tuple(column.block for column in self._categories)
        self._levels = [(index, np.array(column.levels)) for index, column in enumerate(numeric) if column.levels]
        scales = tuple(Block("levels", len(levels)) for _, levels in self._levels)
        self.layout = Layout(len(numeric), len(self._indicators), blocks + scales)
        widths = [block.num_inputs for block in blocks]
        self._starts = np.cumsum([len(numeric) + len(self._indicators), *widths]).tolist()

    def note_extra(self, names: Iterable[str], rows: Sequence[int], notes: Notes) -> None:
        """Treat the columns among `names` that the model does not know, in these rows, as the policy says."""
        for name in sorted(set(names) - self.known_names):
            if self.extra_columns == "reject":
                notes.refuse(rows, name, "the model has no such column")
            elif self.extra_columns == "flag":
                notes.warn(rows, name, "extra-column", "the model has no such column; it was ignored")

    def read(self, columns: Mapping[str, Cells], num_rows: int, notes: Notes) -> Table:
        """Return values by input column as a typed table (see `coerce`); what cannot be read goes to `notes`."""
        table = {}
        for column in self.inputs:
            report = partial(_note_cell, column.name, column.wrong_type, notes)
            values = coerce(columns[column.name], column.stored, report)
            table[column.name] = convert(values, column.stored, column.type, report)
        return Table(num_rows, table)

    def encode_numbers(self, rows: Sequence[Sequence[object]] | Matrix, notes: Notes) -> Inputs | None:
        """Return x_BF for rows of finite numbers alone, read and transformed all at once; None for any others."""
        if not self._reads_numbers:
            return None
        values_BN = rows.numbers(self.input_names) if isinstance(rows, Matrix) else numbers_of(rows)
        if values_BN is None:
            return None
        x_BF = np.zeros((len(values_BN), self.layout.num_inputs), np.float32)
        self._transform_numbers(values_BN, x_BF, notes)
        return x_BF

    def transform(self, table: Table, notes: NoteTaker | None = None) -> Inputs:
        """Return x_BF for a table of input columns, each already read as its type.

        With `notes`, rows are treated as a prediction's: warnings are noted, and what a policy rejects is
        noted as a problem. Without, policies that reject count as accepted, to measure on held-out rows.
        Raises: LearningError (without notes) when an input is beyond float32.
        """
        x_BF = np.zeros((table.num_rows, self.layout.num_inputs), np.float32)
        if self._numeric:
            values_BN = np.stack([table.columns[column.name] for column in self._numeric], axis=1, dtype=np.float64)
            self._transform_numbers(values_BN, x_BF, notes)
        for index, column in enumerate(self._categories):
            slots_B = self._find_slots(index, table, notes)
            encode(slots_B, column, x_BF[:, self._starts[index] : self._starts[index + 1]])
        return x_BF

    def _transform_numbers(self, values_BN: NDArray[np.float64], x_BF: Inputs, notes: NoteTaker | None) -> None:
        # A missing value is a NaN, which compares as not inside: mostly one look at all values is enough.
        inside_BN = (values_BN >= self._low_N) & (values_BN <= self._high_N)
        if not inside_BN.all():
            missing_BN = np.isnan(values_BN)
            self._impute(values_BN, missing_BN, notes)
            x_BF[:, len(self._numeric) : self._starts[0]] = missing_BN[:, self._indicators]
            self._bound(values_BN, ~(inside_BN | missing_BN), notes)
        with np.errstate(over="ignore"):
            x_BF[:, : len(self._numeric)] = (values_BN - self._center_N) / self._scale_N
        for index in self._quantiles:
            column = self._numeric[index]
            x_BF[:, index] = np.interp(values_BN[:, index], column.quantiles, column.scores)
        for position, (index, levels) in enumerate(self._levels, start=self._starts[-1]):
            x_BF[:, position] = _level_numbers(values_BN[:, index], levels)
        if not np.isfinite(x_BF).all():
            self._refuse_overflow(x_BF, notes)

    def _impute(self, values_BN: NDArray[np.float64], missing_BN: NDArray[np.bool_], notes: NoteTaker | None) -> None:
        np.copyto(values_BN, self._fill_N, where=missing_BN)
        if notes is None:
            return
        for index in np.flatnonzero(missing_BN.any(axis=0)).tolist():
            column = self._numeric[index]
            rows = np.flatnonzero(missing_BN[:, index]).tolist()
            if column.fill is None:
                notes.refuse(rows, column.name, "a value is required here")
            else:
                notes.warn(rows, column.name, "imputed", f"missing; {column.fill:.6g} was used ({column.missing})")

    def _bound(self, values_BN: NDArray[np.float64], outside_BN: NDArray[np.bool_], notes: NoteTaker | None) -> None:
        for index in np.flatnonzero(outside_BN.any(axis=0)).tolist():
            column = self._numeric[index]
            rows = np.flatnonzero(outside_BN[:, index])
            seen = f"outside the range seen in training, {column.minimum:.6g} to {column.maximum:.6g}"
            if column.out_of_range == "clip":
                values_BN[rows, index] = np.clip(values_BN[rows, index], column.minimum, column.maximum)
            if notes is not None and column.out_of_range == "reject":
                notes.refuse(rows.tolist(), column.name, seen)
            elif notes is not None:
                code = "clipped" if column.out_of_range == "clip" else "out-of-range"
                notes.warn(rows.tolist(), column.name, code, seen)

    def _refuse_overflow(self, x_BF: Inputs, notes: NoteTaker | None) -> None:
        for index in np.flatnonzero(~np.isfinite(x_BF).all(axis=0)).tolist():
            name = self._numeric[index].name
            if notes is None:
                raise LearningError(f"Column {shown(name)} holds numbers too large for a network.")
            rows = np.flatnonzero(~np.isfinite(x_BF[:, index])).tolist()
            notes.refuse(rows, name, "the number is too large for the model")

    def _find_slots(self, index: int, table: Table, notes: NoteTaker | None) -> NDArray[np.intp]:
        column, slots = self._categories[index], self._slots[index]
        names = table.columns[column.name].tolist()
        other = column.num_slots - 1 if column.has_other else UNKNOWN
        if notes is not None:
            _note_names(column, slots, names, notes)
        return np.fromiter((slots.get(name, other) for name in names), np.intp, len(names))

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON that `from_json` reads back exactly."""
        columns = [column_to_json(column) for column in self.columns]
        return {"columns": columns, "ignored": list(self.ignored), "extra_columns": self.extra_columns}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Preparation:
        """Return the preparation of `to_json`."""
        columns = [column_from_json(column) for column in state["columns"]]
        return cls(columns, ignored=state["ignored"], extra_columns=state["extra_columns"])


def _level_numbers(values_B: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.intp]:
    """The places of values among ascending levels, counted from 1; 0 for a value that is none of them."""
    place_B = np.minimum(np.searchsorted(levels, values_B), len(levels) - 1)
    return np.where(levels[place_B] == values_B, place_B + 1, 0)


def _note_cell(name: str, wrong_type: str, notes: NoteTaker, row: int, error: ValueError) -> None:
    if wrong_type == "impute" and not isinstance(error, NotFinite):
        notes.warn([row], name, "wrong-type", f"{error}; treated as missing")
    else:
        notes.refuse([row], name, str(error))


def _note_names(
    column: CategoryColumn, slots: Mapping[str | None, int], names: Sequence[str | None], notes: NoteTaker
) -> None:
    distinct = set(names)
    if None not in distinct and distinct <= slots.keys():
        return
    for row, name in enumerate(names):
        if name is None:
            _note_missing(column, row, notes)
        elif name not in slots:
            detail = f"{shown(name)} is not a category the model knows"
            if column.unseen == "reject":
                notes.refuse([row], column.name, detail)
            else:
                notes.warn([row], column.name, "unseen-category", f"{detail}; treated as other")


def _note_missing(column: CategoryColumn, row: int, notes: NoteTaker) -> None:
    if column.missing in ("drop_rows", "reject"):
        notes.refuse([row], column.name, "a value is required here")
    elif column.fill is not None:
        notes.warn([row], column.name, "imputed", f"missing; {shown(column.fill)} was used ({column.missing})")
    else:
        treated = "a category of its own" if column.has_missing else "other: no training row lacked a value"
        notes.warn([row], column.name, "imputed", f"missing; treated as {treated}")
