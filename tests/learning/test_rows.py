"""A row means the same bits whether it comes from a training file or from a client's JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.learning import preprocess
from app.learning.data import read_parquet
from app.learning.errors import LearningError
from app.learning.notes import Notes, TrainingNotes
from app.learning.plain_rows import PlainRows
from app.learning.policies import PreparationParams, treatments
from app.learning.preprocess import Preparation
from tests.learning.datasets import to_row, write_dataset

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False) | st.none()
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "r": NUMBERS,
            "q": NUMBERS,
            "i": st.integers(-(2**53), 2**53) | st.none(),
            "b": st.booleans() | st.none(),
            "c": st.text(st.characters(blacklist_categories=["Cs"]), max_size=3) | st.none(),
            "o": st.sampled_from("abcdef") | st.none(),
            "y": st.integers(1990, 2010) | st.none(),
            "z": st.floats(-10, 10) | st.none(),
            "l": st.integers(1, 4) | st.none(),
            "x": st.sampled_from("abc") | st.none(),
            "d": st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)) | st.none(),
        }
    ),
    min_size=2,
    max_size=12,
)
TYPES = {
    "r": "real", "q": "real", "i": "integer", "b": "boolean", "c": "category", "o": "category", "y": "integer",
    "z": "real", "l": "integer", "x": "category", "d": "datetime",
}  # fmt: skip
REQUEST = {
    "columns": {
        "q": {"scaling": "quantile"},
        "o": {"encoding": "ordinal", "max_categories": 3},
        "y": {"type": "category"},
        "z": {"type": "category"},
        "l": {"levels": 9},
        "x": {"encoding": "index"},
        "d": {"scaling": "min_max"},
    }
}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_a_training_row_in_json_becomes_the_same_bits(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    columns = {name: [row[name] for row in rows] for name in TYPES}
    dataset = write_dataset(tmp_path / "rows.parquet", TYPES, columns)
    decided = treatments(dataset["columns"], PreparationParams.model_validate(REQUEST), [])
    table = preprocess.read_as(read_parquet(tmp_path / "rows.parquet", dataset["columns"]), decided, TrainingNotes())
    try:
        fitted = preprocess.fit(table, decided, ignored=[], extra_columns="flag")
    except LearningError as error:
        if error.code != "no-inputs":
            raise
        return
    x_BF = fitted.transform(table)
    assert np.isfinite(x_BF).all()
    restored = Preparation.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
    assert restored.to_json() == fitted.to_json()
    for index in range(len(rows)):
        sent = json.loads(json.dumps(to_row(TYPES, columns, index)))
        notes = Notes(1)
        read = restored.read({name: [sent[name]] for name in restored.input_names}, 1, notes)
        assert restored.transform(read, notes).tobytes() == x_BF[index : index + 1].tobytes()
        notes.check()
        assert all(warning["code"] in ("imputed", "unseen-category") for warning in notes.warnings[0])


SIMPLE = {"r": "real", "i": "integer", "c": "category", "o": "category"}
SIMPLE_REQUEST = {"columns": {"i": {"scaling": "min_max"}, "o": {"encoding": "ordinal"}}}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, odd=st.sampled_from([None, True, "x", 1e300, -1, 2**70, float("nan"), [1]]))
def test_the_short_way_of_ordinary_rows_gives_the_bits_of_the_general_way(
    rows: list[dict[str, Any]], odd: Any, tmp_path: Path
) -> None:
    columns = {name: [row[name] for row in rows] for name in SIMPLE}
    dataset = write_dataset(tmp_path / "rows.parquet", SIMPLE, columns)
    decided = treatments(dataset["columns"], PreparationParams.model_validate(SIMPLE_REQUEST), [])
    table = preprocess.read_as(read_parquet(tmp_path / "rows.parquet", dataset["columns"]), decided, TrainingNotes())
    try:
        fitted = preprocess.fit(table, decided, ignored=[], extra_columns="flag")
    except LearningError:
        return
    short = PlainRows(fitted)
    for index in range(len(rows)):
        sent = [to_row(SIMPLE, columns, index)[name] for name in fitted.input_names]
        for values in (sent, [odd, *sent[1:]]):
            notes = Notes(1)
            named = {name: [value] for name, value in zip(fitted.input_names, values, strict=True)}
            x_BF = fitted.transform(fitted.read(named, 1, notes), notes)
            is_ordinary = not any(notes.warnings) and not notes.has_problems and None not in values
            encoded = short.encode([values])
            assert (encoded is not None) == is_ordinary
            if encoded is not None:
                assert encoded.tobytes() == x_BF.tobytes()
