"""Batch predictions in the child: the answers of single predictions, block by block, and rows that have none."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from app.learning import batch
from app.learning.batch_columns import Answers, arrow_columns
from app.learning.errors import InputError
from app.learning.runtime import Predictor
from tests.trained import Trained

SIZE = 100


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a hundred rows."""
    monkeypatch.setattr(batch, "num_block_rows", lambda num_columns: SIZE)


def answer(
    trained: Trained, folder: Path, *, control: Callable[[], str | None] = lambda: None, **changes: Any
) -> list[dict[str, Any]]:
    """What the child says when it answers the penguins."""
    folder.mkdir(exist_ok=True)
    (folder / "data.parquet").write_bytes(trained.parquet)
    (folder / "graph").write_bytes(trained.graph)
    request = {
        "dataset": {"path": str(folder / "data.parquet"), "columns": trained.columns},
        "manifest": trained.manifest,
        "graph": str(folder / "graph"),
        "first_row": 0,
        "keep": [],
        "probabilities": True,
        "interval": None,
        **changes,
    }
    said: list[dict[str, Any]] = []
    batch.run(request, folder=folder, emit=said.append, control=control)
    return said


def blocks(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in said if message["type"] == "block"]


def table(said: list[dict[str, Any]]) -> Any:
    return pyarrow.concat_tables(pyarrow.parquet.read_table(each["answers"]["path"]) for each in blocks(said))


def single(trained: Trained, manifest: dict[str, Any] | None = None) -> tuple[Predictor, list[dict[str, Any]]]:
    """What predicts single rows, and the penguins as such rows."""
    rows = pyarrow.parquet.read_table(pyarrow.BufferReader(trained.parquet)).to_pylist()
    return Predictor.load(manifest or trained.manifest, trained.graph), rows


def strict(trained: Trained) -> dict[str, Any]:
    """The manifest of a version that requires the sex and refuses large birds."""
    manifest = copy.deepcopy(trained.manifest)
    for column in manifest["preparation"]["columns"]:
        if column["name"] == "sex":
            column["missing"] = "reject"
        if column["name"] == "body_mass_g":
            column["out_of_range"], column["maximum"] = "reject", 6000.0
    return manifest


@pytest.mark.usefixtures("small_blocks")
def test_every_row_is_answered_as_a_prediction_of_it_is(trained: Trained, tmp_path: Path) -> None:
    said = answer(trained, tmp_path, interval=0.9, keep=["island"])
    predictor, rows = single(trained)
    expected = predictor.predict_rows(rows)
    predictor.add_sets(expected, 0.9)
    found = table(said).to_pylist()
    assert [each["island"] for each in found] == [row["island"] for row in rows]
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert [json.loads(each["set"]) for each in found] == [each["set"] for each in expected]
    for each, wanted in zip(found, expected, strict=True):
        shares = {f"probability_{name}": share for name, share in wanted["probabilities"].items()}
        assert {name: each[name] for name in shares} == pytest.approx(shares, abs=1e-6)
    told = [(column, code, num) for block in blocks(said) for column, code, num in block["warnings"]]
    assert sum(num for *_, num in told) == sum(len(each["warnings"]) for each in expected) > 0
    assert said[-1] == {"type": "result"}


@pytest.mark.usefixtures("small_blocks")
def test_an_attempt_that_goes_on_writes_the_bytes_of_one_that_was_never_disturbed(
    trained: Trained, tmp_path: Path
) -> None:
    whole = blocks(answer(trained, tmp_path / "whole", keep=["island"]))
    assert [each["num_rows"] for each in whole] == [100, 100, 100, 44]
    orders = iter([None, "limit 3", "pause"])
    first = answer(trained, tmp_path / "first", keep=["island"], control=lambda: next(orders))
    assert first[-1] == {"type": "stopped", "reason": "paused"}
    rest = answer(trained, tmp_path / "rest", keep=["island"], first_row=300)
    assert [each["answers"]["sha256"] for each in whole] == [
        each["answers"]["sha256"] for each in [*blocks(first), *blocks(rest)]
    ]


@pytest.mark.usefixtures("small_blocks")
def test_rows_that_a_policy_rejects_are_listed_with_row_and_column_and_have_no_answer(
    trained: Trained, tmp_path: Path
) -> None:
    manifest = strict(trained)
    said = answer(trained, tmp_path, manifest=manifest)
    predictor, rows = single(trained, manifest)
    expected: dict[int, set[str]] = {}
    for number, row in enumerate(rows):
        try:
            predictor.predict_rows([row])
        except InputError as error:
            expected[number] = {each["pointer"].rpartition("/")[2] for each in error.errors}
    listed: dict[int, set[str]] = {}
    for block in blocks(said):
        if block["rejected"]:
            for line in Path(block["rejected"]["path"]).read_text().splitlines():
                problem = json.loads(line)
                assert problem["detail"]
                listed.setdefault(problem["row"], set()).add(problem["column"])
    assert listed == expected
    assert len(listed) > 10
    assert sum(block["num_rejected"] for block in blocks(said)) == len(listed)
    labels = table(said).column("label").to_pylist()
    assert {number for number, label in enumerate(labels) if label is None} == set(listed)


def test_rows_without_any_value_have_no_answer(trained: Trained, tmp_path: Path) -> None:
    sent = pyarrow.parquet.read_table(pyarrow.BufferReader(trained.parquet))
    names = [column["name"] for column in trained.manifest["preparation"]["columns"]]
    nothing = pyarrow.table(
        {n: pyarrow.nulls(2, sent.schema.field(n).type) if n in names else sent[n][:2] for n in sent.column_names}
    )
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.concat_tables([sent[:3], nothing]), sink)
    changed = Trained(**{**vars(trained), "parquet": sink.getvalue().to_pybytes()})
    (block,) = blocks(answer(changed, tmp_path))
    assert block["num_rejected"] == 2
    lines = [json.loads(line) for line in Path(block["rejected"]["path"]).read_text().splitlines()]
    assert [(line["row"], line["column"]) for line in lines] == [(3, None), (4, None)]
    assert "input columns are missing" in lines[0]["detail"]


@pytest.mark.parametrize("group_rows", [1, 7, 99, 100, 101, 1000])
def test_blocks_are_the_same_however_the_table_is_stored(
    tmp_path: Path, group_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "num_block_rows", lambda num_columns: SIZE)
    path = tmp_path / "numbers.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": range(250)}), path, row_group_size=group_rows)
    columns = [{"name": "a", "type": "integer"}]
    for first_row, wanted in ((0, [100, 100, 50]), (100, [100, 50]), (200, [50]), (250, [])):
        found = list(batch.read_blocks(path, columns, first_row))
        assert [block.num_rows for block in found] == wanted
        values = [value for block in found for value in block.column("a").to_pylist()]
        assert values == list(range(first_row, 250))


def test_the_wider_a_table_is_the_fewer_rows_are_held_at_once() -> None:
    assert batch.num_block_rows(1) == batch.num_block_rows(100) == 65_536
    assert batch.num_block_rows(10_000) == 8192


@pytest.mark.parametrize("task", ["regression", "soft"])
def test_values_come_with_the_intervals_of_single_predictions(task: str) -> None:
    conformal = {"num_rows": 9, "quantiles": {"0.9": 0.7}}
    output = {"task": task, "classes": None, "shift": 0.1, "scale": 0.5}
    answers = Answers({"output": output, "conformal": conformal}, interval=0.9)
    assert answers.types("p_") == {"p_value": "real", "p_low": "real", "p_high": "real"}
    y_BK = np.array([[0.0], [1.0], [0.5]], np.float32)
    columns = arrow_columns(answers, y_BK, np.array([False, False, True]))
    assert columns["value"].to_pylist() == pytest.approx([0.1, 0.6, None])
    ends = ([0.0, 0.0], [0.8, 1.0]) if task == "soft" else ([-0.6, -0.1], [0.8, 1.3])
    assert columns["low"].to_pylist()[:2] == pytest.approx(ends[0])
    assert columns["high"].to_pylist()[:2] == pytest.approx(ends[1])
    assert columns["low"].to_pylist()[2] is None


@pytest.mark.parametrize(
    ("classes", "kind", "names"),
    [
        (["a", "A", "b\0"], "category", ["probability_a", "probability_A_2", "probability_b\ufffd"]),
        ([False, True], "boolean", ["probability_false", "probability_true"]),
        ([3, 5], "integer", ["probability_3", "probability_5"]),
        (["x" * 999, "x" * 998], "category", [f"probability_{'x' * 200}", f"probability_{'x' * 200}_2"]),
    ],
)
def test_labels_keep_their_type_and_no_two_columns_of_answers_have_one_name(
    classes: list[Any], kind: str, names: list[str]
) -> None:
    answers = Answers({"output": {"task": "multiclass", "classes": classes, "shift": 0.0, "scale": 1.0}})
    types = answers.types()
    assert list(types) == ["label", *names]
    assert types["label"] == kind
    y_BK = np.eye(len(classes), dtype=np.float32)
    columns = arrow_columns(answers, y_BK, np.zeros(len(classes), np.bool_))
    assert columns["label"].to_pylist() == classes


def test_a_coverage_that_the_version_does_not_have_is_refused() -> None:
    output = {"task": "regression", "classes": None, "shift": 0.0, "scale": 1.0}
    with pytest.raises(InputError):
        Answers({"output": output}, interval=0.9)


def test_no_torch_is_needed() -> None:
    program = "import sys, app.learning.batch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
