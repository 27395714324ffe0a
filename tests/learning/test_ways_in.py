"""A policy means the same whichever way a row comes in: trained on, or predicted from JSON, lists, CSV, JSON Lines."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from app.datasets.limits import IngestLimits
from app.datasets.reading.parsing import parse
from app.learning import preprocess
from app.learning.data import Column, Table, read_parquet
from app.learning.errors import InputError, LearningError
from app.learning.notes import Notes, TrainingNotes
from app.learning.plan import Plan, resolve
from app.learning.policies import STORED_POLICIES, applicable
from app.learning.prepared import PLAN_MEMBERS, prepare
from app.learning.preprocess import Preparation
from app.learning.runtime import Predictor

Rows = list[dict[str, Any]]
REQUEST = {"columns": {"mixed": {"type": "real"}, "code": {"type": "category"}}}
# Two complete rows from which every column has its type, and two values.
FIRST = [
    {"real": 0.5, "whole": 1, "truth": True, "moment": "2020-01-01", "name": "§a", "mixed": 1.5, "code": 1},
    {"real": 2.5, "whole": 9, "truth": False, "moment": "2021-06-01", "name": "§b", "mixed": -2.5, "code": 2},
]
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=3, minutes=30))])
MOMENTS = st.builds(
    lambda moment, zone, separator, more: moment.replace(tzinfo=zone).isoformat(separator).replace("+00:00", more),
    st.datetimes(datetime(2019, 1, 1), datetime(2022, 1, 1)),
    ZONES,
    st.sampled_from("T "),
    st.sampled_from(["Z", "+00:00"]),
)
FLOATS = st.floats(-1e3, 1e3) | st.sampled_from([-0.0, 1e16, 1e-7, 1e22])
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "real": st.floats(0.5, 2.5) | FLOATS,
    "whole": st.integers(-5, 15) | st.integers(-(2**53), 2**53),
    "truth": st.booleans(),
    "moment": MOMENTS,
    "name": st.sampled_from(["§a", "§b", "§z", "§ z", "§"]),
    "mixed": st.floats(-2.5, 1.5) | FLOATS | st.integers(-9, 9),
    "code": st.integers(1, 4),
}
WRONG = {"mixed": st.sampled_from([True, "§", "1,5", "0x10", "1_0", "-"])}


@dataclass
class Drawn:
    """The rows that train, others, and what the schema says of missing, unseen, … values."""

    trained: Rows
    others: Rows
    policies: dict[str, dict[str, str]]
    extra_columns: str


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    # Where every column may reject something, hardly a row is answered.
    rejecting = draw(st.sets(st.sampled_from(sorted(CELLS)), max_size=2))
    policies = {name: draw(_said(is_rejecting=name in rejecting)) for name in CELLS}
    trained = st.fixed_dictionaries({name: _cells(name, said, is_trained=True) for name, said in policies.items()})
    other = st.fixed_dictionaries({name: _cells(name, said, is_trained=False) for name, said in policies.items()})
    return Drawn(
        FIRST + draw(st.lists(trained, max_size=4)),
        draw(st.lists(other, min_size=1, max_size=6)),
        policies,
        draw(st.sampled_from(STORED_POLICIES["extra_columns"])),
    )


def _said(*, is_rejecting: bool) -> st.SearchStrategy[dict[str, str]]:
    allowed = {
        situation: [word for word in words if is_rejecting or word != "reject"]
        for situation, words in STORED_POLICIES.items()
    }
    return st.fixed_dictionaries({situation: st.sampled_from(words) for situation, words in allowed.items()})


def _cells(name: str, said: dict[str, str], *, is_trained: bool) -> st.SearchStrategy[Any]:
    """Rows to train on have nothing that a policy rejects. Every row has a code, so that none is without any value."""
    cells = CELLS[name]
    if name in WRONG and not (is_trained and "reject" in (said["wrong_type"], said["missing"])):
        cells |= WRONG[name]
    if name != "code" and not (is_trained and said["missing"] == "reject"):
        cells |= st.none()
    return cells


@dataclass
class Outcome:
    """What became of rows: the inputs of a network, or the cells that are refused; and the warnings per row."""

    inputs: bytes | None
    refused: list[tuple[int, str, str]]
    warnings: list[list[Any]] | None


class Graph:
    """In the place of an ONNX session: keeps the inputs that it is asked for."""

    inputs: np.ndarray | None = None

    def run(self, _: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.inputs = feed["x"]
        return [np.zeros((len(self.inputs), 1), np.float32)]


def as_csv(rows: Rows) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {n: json.dumps(value) if isinstance(value, bool | float) else value for n, value in row.items()}
        )
    return stream.getvalue().encode()


def as_json_lines(rows: Rows) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


WAYS = {"csv": as_csv, "ndjson": as_json_lines}


def upload(folder: Path, file_format: str, rows: Rows, types: dict[str, str] | None = None) -> dict[str, Any]:
    folder.mkdir()
    (folder / "sent").write_bytes(WAYS[file_format](rows))
    with contextlib.chdir(folder):
        answer = parse(folder / "sent", file_format, IngestLimits(), types or {})
    return {"path": str(folder / "data.parquet"), "num_rows": len(rows), "columns": answer["columns"]}


def with_policies(columns: Sequence[Column], policies: dict[str, dict[str, str]]) -> list[Column]:
    return [
        {**column, "policies": {n: w for n, w in policies.get(column["name"], {}).items() if n in known}}
        for column in columns
        for known in [applicable(column["type"])]
    ]


def from_table(table: Table, plan: Plan, fitted: Preparation, extra: list[str]) -> Outcome:
    notes = Notes(table.num_rows)
    fitted.note_extra(extra, range(table.num_rows), notes)
    inputs = fitted.transform(preprocess.read_as(table, plan.treatments, notes), notes)
    return outcome(notes, inputs)


def outcome(notes: Notes, inputs: np.ndarray) -> Outcome:
    try:
        notes.check()
    except InputError as error:
        return refusal(error, {})
    return Outcome(inputs.tobytes(), [], notes.warnings)


def refusal(error: InputError, names: dict[str, str]) -> Outcome:
    cells = [(*problem["pointer"].split("/")[2:], problem["detail"]) for problem in error.errors]
    return Outcome(None, sorted((int(row), names.get(column, column), why) for row, column, why in cells), None)


def predicted(fitted: Preparation, rows: Rows, *, as_lists: bool) -> Outcome:
    graph = Graph()
    predictor = Predictor(fitted, {"classes": None, "shift": 0.0, "scale": 1.0}, graph, 0)
    columns = sorted(rows[0])
    try:
        if as_lists:
            answers = predictor.predict_matrix(columns, [[row[name] for name in columns] for row in rows])
        else:
            present = [{name: value for name, value in row.items() if value is not None} for row in rows]
            answers = predictor.predict_rows(json.loads(json.dumps(present)))
    except InputError as error:
        return refusal(error, {str(place): name for place, name in enumerate(columns)} if as_lists else {})
    assert graph.inputs is not None
    return Outcome(graph.inputs.tobytes(), [], [answer["warnings"] for answer in answers])


def trained_on(dataset: dict[str, Any], plan: Plan) -> tuple[bytes | None, str]:
    """The inputs of the rows that test, in a training on all rows; or how the training is refused."""
    resolved = plan.to_json()
    request = {"dataset": dataset, "target": "y", **{name: resolved.get(name) for name in PLAN_MEMBERS}}
    try:
        return prepare(request, lambda message: None).rows["test"].x_BF.tobytes(), ""
    except LearningError as error:
        return None, error.message


def fit(dataset: dict[str, Any], plan: Plan, num_trained: int) -> tuple[Preparation, Table]:
    table = read_parquet(Path(dataset["path"]), dataset["columns"])
    converted = preprocess.read_as(table.take(np.arange(num_trained)), plan.treatments, TrainingNotes())
    fitted = preprocess.fit(
        converted, plan.treatments, ignored=["y", "part"], extra_columns=plan.preparation.extra_columns
    )
    return fitted, table


def refused_in_training(drawn: Drawn) -> set[tuple[int, str]]:
    """The cells of the other rows that stop a training on them, too: rejected as missing or as of the wrong type."""
    return {
        (row, name)
        for row, values in enumerate(drawn.others)
        for name, value in values.items()
        for said in [drawn.policies[name]]
        if (value is None and said["missing"] == "reject")
        # What is imputed for its type counts as missing, and that may be rejected in turn.
        or (name in WRONG and isinstance(value, str | bool) and "reject" in (said["wrong_type"], said["missing"]))
    }


def check_training(dataset: dict[str, Any], plan: Plan, drawn: Drawn, found: Outcome) -> None:
    inputs, message = trained_on(dataset, plan)
    refused = refused_in_training(drawn)
    assert (inputs is None) == bool(refused), message
    if inputs is None:
        first = len(drawn.trained) + 1
        assert any(message.startswith(f"Row {row + first}, column '{name}': ") for row, name in refused)
        assert refused <= {(row, name) for row, name, _ in found.refused}
    elif found.inputs is not None:
        assert inputs == found.inputs


# An example takes tenths of a second: shrinking one would take minutes.
@settings(
    max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
@given(drawn(), st.sampled_from(sorted(WAYS)))
def test_a_row_means_the_same_whichever_way_it_comes_in(drawn: Drawn, way: str) -> None:
    num_trained, whole = len(drawn.trained), drawn.trained + drawn.others
    parts = ["train"] * num_trained + ["test"] * len(drawn.others)
    rows = [{**row, "part": part, "y": i + 0.5} for i, (row, part) in enumerate(zip(whole, parts, strict=True))]
    sent = [{**row, "extra": 1} for row in drawn.others]
    found: list[Outcome] = []
    fits: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for file_format in WAYS:
            dataset = upload(Path(folder, file_format), file_format, rows)
            dataset["columns"] = with_policies(dataset["columns"], drawn.policies)
            plan = resolve(
                dataset["columns"], "y", num_rows=len(rows), preparation=REQUEST, task="regression",
                split={"method": "column", "column": "part"}, extra_columns=drawn.extra_columns,
            )  # fmt: skip
            fitted, table = fit(dataset, plan, num_trained)
            found.append(from_table(table.take(np.arange(num_trained, len(rows))), plan, fitted, ["extra"]))
            check_training(dataset, plan, drawn, found[-1])
            fits.append(fitted.to_json())
        assert fits[0] == fits[1]
        known = [column for column in dataset["columns"] if column["name"] in CELLS]
        alone = upload(Path(folder, "alone"), way, sent, {column["name"]: column["type"] for column in known})
        names = [column["name"] for column in alone["columns"]]
        found.append(from_table(read_parquet(Path(alone["path"]), known), plan, fitted, names))
    found += [predicted(fitted, sent, as_lists=as_lists) for as_lists in (False, True)]
    event("refused" if found[0].refused else "answered")
    assert found[1:] == found[:1] * 4
