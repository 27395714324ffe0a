"""Answer rows from a trained model: data preparation, ONNX Runtime, labels or values; imports no torch.

Shapes: x_BF inputs, y_BK outputs of the graph: K probabilities, or one value in the scale it was learned.
Deterministic: same rows and same batch give the same bits on the same CPU.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NotRequired, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from app.learning.data import Table
from app.learning.errors import InputError, json_pointer, shown
from app.learning.evaluation.conformal import add_sets
from app.learning.notes import Notes, Pointer, Warned
from app.learning.plain_rows import MAX_ROWS as PLAIN_ROWS
from app.learning.plain_rows import PlainRows
from app.learning.preprocess import Inputs, Preparation
from app.learning.tasks import Label
from app.learning.values import Cells, Matrix

# What a session of a small network takes beside its weights, measured over 50 of them.
SESSION_BYTES = 400_000
BATCH_ROWS = 8192


class Classified(TypedDict):
    """The answer to one row of a classification."""

    label: Label
    probabilities: dict[str, float]
    warnings: list[Warned]
    set: NotRequired[list[Label]]


class Valued(TypedDict):
    """The answer to one row of a regression."""

    value: float
    warnings: list[Warned]
    interval: NotRequired[list[float]]


Prediction = Classified | Valued


class Predictor:
    """A model in memory. `predict_rows` and `predict_matrix` may be called from several threads at once."""

    def __init__(self, preparation: Preparation, output: Mapping[str, Any], session: Any, size_bytes: int) -> None:
        self.preparation = preparation
        self._plain = PlainRows(preparation)
        self.size_bytes = size_bytes
        self._session = session
        self.classes: tuple[Label, ...] = tuple(output["classes"] or ())
        self._keys = [class_key(label) for label in self.classes]
        self._shift, self._scale = output["shift"], output["scale"]
        self._output = output
        self.conformal: Mapping[str, Any] | None = None

    @classmethod
    def load(cls, manifest: Mapping[str, Any], graph: bytes, *, num_threads: int = 1) -> Self:
        """Return the predictor of a manifest and its ONNX graph."""
        session = open_session(graph, num_threads=num_threads)
        preparation = Preparation.from_json(manifest["preparation"])
        predictor = cls(preparation, manifest["output"], session, 2 * len(graph) + SESSION_BYTES)
        predictor.conformal = manifest.get("conformal")
        return predictor

    def answer_table(self, table: Table) -> NDArray[np.float64]:
        """Return the answers y_BK to the rows of a table of input columns, each already read as its type."""
        return self.answer_inputs(self.preparation.transform(table)).astype(np.float64)

    def answer_inputs(self, x_BF: Inputs) -> NDArray[np.float32]:
        """Return the answers y_BK of the graph to prepared inputs, computed in batches of BATCH_ROWS."""
        starts = range(0, len(x_BF), BATCH_ROWS)
        batches = [self._session.run(None, {"x": x_BF[start : start + BATCH_ROWS]})[0] for start in starts]
        return np.concatenate(batches)

    def add_sets(self, predictions: Sequence[Prediction], coverage: object) -> None:
        """Add to each prediction its `interval` [low, high], or its `set` of labels, with this coverage.

        Raises: InputError pointing at /interval when this version has none with such a coverage.
        """
        add_sets(predictions, coverage, self.conformal, self._output)

    def predict_rows(self, rows: Sequence[Mapping[str, object]]) -> list[Prediction]:
        """Answer rows given by column name; a name that is absent counts as a missing value.

        Raises: InputError with pointers such as /rows/3/bill_length_mm.
        """
        notes = Notes(len(rows))
        names = self.preparation.input_names
        known = self.preparation.known_names
        values = []
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InputError([{"pointer": json_pointer("rows", index), "detail": "expected an object"}])
            if not row.keys() <= known:
                self.preparation.note_extra(row, [index], notes)
            values.append([row.get(name) for name in names])
        return self._predict(values, notes)

    def predict_matrix(self, columns: Sequence[str] | None, data: Sequence[Sequence[object]]) -> list[Prediction]:
        """Answer rows given as lists; without `columns` they hold the input columns in training order.

        Raises: InputError with pointers such as /data/3/0 or /columns/2.
        """
        names = list(self.preparation.input_names if columns is None else columns)
        _check_matrix(names, data)
        positions = {name: position for position, name in enumerate(names)}
        notes = Notes(len(data), lambda row, name: _matrix_pointer(row, positions.get(name or "")))
        self.preparation.note_extra(positions, range(len(data)), notes)
        if names == list(self.preparation.input_names):
            return self._predict(data, notes)
        places = [positions.get(name) for name in self.preparation.input_names]
        values = [[None if place is None else row[place] for place in places] for row in data]
        return self._predict(values, notes)

    def predict_columns(self, columns: Mapping[str, Cells], num_rows: int, pointer: Pointer) -> list[Prediction]:
        """Answer rows given as columns of equal length by name; one that is absent counts as missing.

        Raises: InputError with the pointers that `pointer` gives for a row and a column.
        """
        notes = Notes(num_rows, pointer)
        return self.tell(self._in_units(self._run(self._encode(columns, num_rows, notes), notes)), notes.warnings)

    def answer_columns(
        self, columns: Mapping[str, Cells], num_rows: int, pointer: Pointer
    ) -> tuple[NDArray[np.float64], list[list[Warned]]]:
        """Return y_BK, probabilities or the value in its own units, and the warnings of `predict_columns`."""
        notes = Notes(num_rows, pointer)
        y_BK = self._in_units(self._run(self._encode(columns, num_rows, notes), notes))
        return y_BK.astype(np.float64), notes.warnings

    def _encode(self, columns: Mapping[str, Cells], num_rows: int, notes: Notes) -> Inputs:
        x_BF = self.preparation.encode_numbers(columns, notes) if isinstance(columns, Matrix) else None
        if x_BF is not None:
            return x_BF
        self.preparation.note_extra(columns, range(num_rows), notes)
        known = {name: columns.get(name, [None] * num_rows) for name in self.preparation.input_names}
        if num_rows <= PLAIN_ROWS:
            x_BF = self._plain.encode(list(zip(*map(_listed, known.values()), strict=True)))
            if x_BF is not None:
                return x_BF
        return self._prepare(known, num_rows, notes)

    def encode_plain(self, body: Mapping[str, Any]) -> list[list[float]] | None:
        """Return the inputs of a few ordinary rows, given as `rows`, or as `data` with or without `columns`.

        None for anything that the methods above would have to look at more closely. `answer_plain` answers them, and
        those of others with them.
        """
        names, rows = self.preparation.input_names, body.get("rows")
        if "rows" in body and ("data" in body or "columns" in body):
            return None
        if rows is None:
            values, columns = body.get("data"), body.get("columns")
            if type(values) is not list or not (columns is None or columns == list(names)):
                return None
            is_whole = all(type(row) is list and len(row) == len(names) for row in values)
        else:
            known = self.preparation.known_names
            is_whole = type(rows) is list and all(type(row) is dict and row.keys() <= known for row in rows)
            values = [[row.get(name) for name in names] for row in rows] if is_whole else []
        return self._plain.encode_few(values) if is_whole and values else None

    def answer_plain(self, encoded: Sequence[Sequence[float]]) -> list[Prediction] | None:
        """Return the answers to encoded rows, or None when one of them is not a number."""
        y_BK: NDArray[np.float32] = self._session.run(None, {"x": np.array(encoded, np.float32)})[0]
        if not np.isfinite(y_BK).all():
            return None
        return self.tell(self._in_units(y_BK), [[] for _ in encoded])

    def _predict(self, values: Sequence[Sequence[object]], notes: Notes) -> list[Prediction]:
        if not values:
            return []
        x_BF = self._plain.encode(values)
        if x_BF is None:
            x_BF = self._prepare_rows(values, notes)
        return self.tell(self._in_units(self._run(x_BF, notes)), notes.warnings)

    def _run(self, x_BF: Inputs, notes: Notes) -> NDArray[np.float32]:
        notes.check()
        y_BK: NDArray[np.float32] = self._session.run(None, {"x": x_BF})[0]
        if not np.isfinite(y_BK).all():
            rows = np.flatnonzero(~np.isfinite(y_BK).all(axis=1)).tolist()
            notes.refuse(rows, None, "the values are too large for the model: its answer is not a number")
            notes.check()
        return y_BK

    def _prepare_rows(self, values: Sequence[Sequence[object]], notes: Notes) -> Inputs:
        x_BF = self.preparation.encode_numbers(values, notes)
        if x_BF is not None:
            return x_BF
        columns = dict(zip(self.preparation.input_names, zip(*values, strict=True), strict=True))
        return self._prepare(columns, len(values), notes)

    def _prepare(self, columns: Mapping[str, Cells], num_rows: int, notes: Notes) -> Inputs:
        notes.refuse(_empty_rows(columns, num_rows), None, f"all {len(columns)} input columns are missing")
        return self.preparation.transform(self.preparation.read(columns, num_rows, notes), notes)

    def tell(self, y_BK: NDArray[np.floating], warnings: Sequence[list[Warned]]) -> list[Prediction]:
        """Return the predictions that probabilities, or values in their own units, come to."""
        if not self.classes:
            values_B = y_BK[:, 0].tolist()
            return [{"value": value, "warnings": warned} for value, warned in zip(values_B, warnings, strict=True)]
        labels = map(self.classes.__getitem__, y_BK.argmax(axis=1).tolist())
        probabilities = map(dict, map(zip, repeat(self._keys), y_BK.tolist()))
        return [
            {"label": label, "probabilities": shares, "warnings": warned}
            for label, shares, warned in zip(labels, probabilities, warnings, strict=True)
        ]

    def _in_units(self, y_BK: NDArray[np.float32]) -> NDArray[np.floating]:
        return y_BK if self.classes else y_BK[:, :1].astype(np.float64) * self._scale + self._shift


def class_key(label: Label) -> str:
    """Return the name under which a class stands in `probabilities`."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def open_session(graph: bytes, *, num_threads: int = 1) -> Any:
    """Return an ONNX Runtime session on the CPU that starts no threads of its own when num_threads is 1."""
    # Since 1.32 the library reports its use to its maker and keeps an id in the home folder, unless told not to
    # before it is imported. What this service computes is nobody else's business.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    # Beyond errors it warns that a sandbox hides the machine's devices.
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _listed(cells: Cells) -> Sequence[object]:
    return cells.tolist() if isinstance(cells, np.ndarray) else cells


def _empty_rows(columns: Mapping[str, Cells], num_rows: int) -> list[int]:
    """The rows in which no column has a value; mostly the first column tells that there is none."""
    empty: Sequence[int] = range(num_rows)
    for cells in columns.values():
        if isinstance(cells, np.ndarray):
            missing = np.isnan(cells) if cells.dtype.kind == "f" else np.zeros(num_rows, np.bool_)
            empty = [row for row in empty if missing[row]] if missing.any() else []
        else:
            empty = [row for row in empty if cells[row] is None]
        if not empty:
            break
    return list(empty)


def _matrix_pointer(row: int, position: int | None) -> str:
    return json_pointer("data", row) if position is None else json_pointer("data", row, position)


def _check_matrix(names: Sequence[str], data: Sequence[Sequence[object]]) -> None:
    for position, name in enumerate(names):
        if not isinstance(name, str) or name in names[:position]:
            detail = f"{shown(name)} is given twice" if isinstance(name, str) else "expected a column name"
            raise InputError([{"pointer": json_pointer("columns", position), "detail": detail}])
    for index, row in enumerate(data):
        if not isinstance(row, list | tuple):
            raise InputError([{"pointer": json_pointer("data", index), "detail": "expected an array"}])
        if len(row) != len(names):
            detail = f"expected {len(names)} values, got {len(row)}"
            raise InputError([{"pointer": json_pointer("data", index), "detail": detail}])
