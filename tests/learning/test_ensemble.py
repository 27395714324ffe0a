"""Ensembles as trainings: better than the baselines, resumable bit by bit, ended early, learned again on all rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.learning import train, weights
from app.learning.ensemble import roster
from app.learning.errors import LearningError
from app.learning.plan import plan
from app.learning.runtime import Predictor
from tests.learning.datasets import penguins, write_dataset
from tests.learning.test_resume import resumed_from

QUICK: dict[str, Any] = {"members": ["linear", "bins"], "folds": 2}
SPLIT = {"method": "column", "column": "part"}
Message = dict[str, Any]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    types, columns = penguins()
    return write_dataset(tmp_path_factory.mktemp("data") / "penguins.parquet", types, columns)


def make_request(dataset: dict[str, Any], **more: Any) -> dict[str, Any]:
    common = {"dataset": dataset, "target": "species", "spec": "ensemble", "params": QUICK, "checkpoint_seconds": 1e9}
    return common | more


def run(request: dict[str, Any], folder: Path, control: Callable[[], str | None] = lambda: None) -> list[Message]:
    folder.mkdir(exist_ok=True)
    messages: list[Message] = []
    train.run(request, folder=folder, emit=messages.append, control=control)
    return messages


def result(request: dict[str, Any], folder: Path, control: Callable[[], str | None] = lambda: None) -> Message:
    last = run(request, folder, control)[-1]
    assert last["type"] == "result", last
    return last


@pytest.mark.parametrize(("target", "metric"), [("species", "log_loss"), ("body_mass_g", "rmse")])
def test_an_ensemble_beats_the_constant_and_holds_its_own_against_the_linear_baseline(
    target: str, metric: str, dataset: dict[str, Any], tmp_path: Path
) -> None:
    metrics = result(make_request(dataset, target=target), tmp_path)["metrics"]
    assert metrics["test"][metric] < 0.6 * metrics["baseline"]["test"][metric]
    assert metrics["test"][metric] < 1.5 * metrics["linear"]["test"][metric]
    assert metrics["validation"][metric] > 0


def test_the_served_ensemble_knows_all_rows_and_was_measured_before_it_did(
    dataset: dict[str, Any], tmp_path: Path
) -> None:
    made = result(make_request(dataset), tmp_path)
    manifest = made["manifest"]
    assert manifest["split"]["num_rows"]["test"] > 0
    assert manifest["training"]["num_rows"] == sum(manifest["split"]["num_rows"].values())
    predictor = Predictor.load(manifest, Path(made["files"]["graph"]["path"]).read_bytes())
    assert predictor.predict_rows([{"bill_length_mm": 39.1, "island": "Torgersen"}])[0]["label"]
    assert manifest["training"]["knows_test"]
    assert {entry["member"] for entry in manifest["training"]["leaderboard"]} == {"linear", "bins"}
    once = result(make_request(dataset, params={**QUICK, "refit_rows": 0}), tmp_path / "once")["manifest"]
    assert once["training"]["num_rows"] == manifest["training"]["num_rows"] - manifest["split"]["num_rows"]["test"]
    assert not once["training"]["knows_test"]
    assert once["metrics"] == manifest["metrics"]


def test_a_split_by_a_column_is_kept_and_its_validation_part_is_the_one_fold(
    dataset: dict[str, Any], tmp_path: Path
) -> None:
    manifest = result(make_request(dataset, split=SPLIT), tmp_path)["manifest"]
    assert manifest["training"]["networks"] == len(
        [entry for entry in manifest["training"]["leaderboard"] if entry["weight"] > 0]
    )
    assert manifest["training"]["num_rows"] == manifest["split"]["num_rows"]["train"]


def test_a_resumed_ensemble_ends_with_the_same_bits(dataset: dict[str, Any], tmp_path: Path) -> None:
    request = make_request(dataset)
    whole = result(request, tmp_path / "whole")
    asked = iter([None] * 90 + ["pause"] * 10_000)
    paused = run(request, tmp_path / "first", lambda: next(asked))
    assert paused[-1] == {"type": "stopped", "reason": "paused"}
    again = result(request | {"resume": resumed_from(paused)}, tmp_path / "second")
    for name in ("weights", "graph"):
        assert again["files"][name]["sha256"] == whole["files"][name]["sha256"]
    assert again["metrics"] == whole["metrics"]


def test_each_network_that_ends_tells_how_good_the_ensemble_is_so_that_studies_can_prune_it(
    dataset: dict[str, Any], tmp_path: Path
) -> None:
    messages = run(make_request(dataset), tmp_path)
    told = [message for message in messages if message["type"] == "metrics"]
    assert [message["position"] for message in told] == list(range(1, 9))
    losses = [message["values"]["validation_loss"] for message in told]
    assert losses[3] < 0.5 * messages[-1]["metrics"]["baseline"]["validation"]["log_loss"]
    # A second round learns the rows that it would be measured by.
    assert len(set(losses[:4])) > 1
    assert set(losses[4:]) == {losses[3]}


def test_an_ensemble_that_is_finished_early_keeps_what_it_has(dataset: dict[str, Any], tmp_path: Path) -> None:
    asked = iter([None] * 30 + ["finish"] * 10_000)
    made = result(make_request(dataset), tmp_path, lambda: next(asked))
    assert made["manifest"]["training"]["stopped"] == "finish"
    assert made["metrics"]["test"]["log_loss"] < made["metrics"]["baseline"]["test"]["log_loss"]
    assert weights.read(tmp_path / "weights.safetensors")


def test_no_network_is_begun_that_the_budget_has_no_time_for(dataset: dict[str, Any], tmp_path: Path) -> None:
    made = result(make_request(dataset, params={**QUICK, "folds": 20, "budget_seconds": 1.0}), tmp_path)
    assert made["manifest"]["training"]["networks"] < 40
    assert made["metrics"]["test"]["log_loss"] < made["metrics"]["baseline"]["test"]["log_loss"]


def test_auto_has_trees_where_their_library_is_installed(
    dataset: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, num_rows = dataset["columns"], dataset["num_rows"]
    assert "trees" in plan(columns, "species", num_rows=num_rows, spec="auto")["params"]["members"]
    monkeypatch.setattr(roster, "find_spec", lambda package: None)
    assert "trees" not in plan(columns, "species", num_rows=num_rows, spec="auto")["params"]["members"]
    with pytest.raises(LearningError, match="install maas with the extra trees") as refused:
        plan(columns, "species", num_rows=num_rows, spec="ensemble", params={"members": ["trees"]})
    assert refused.value.pointer == "/params/members"


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"members": []}, "/params/members"),
        ({"members": ["linear", "linear"]}, "/params/members"),
        ({"members": ["boom"]}, "/params/members/0"),
        ({"folds": 1}, "/params/folds"),
        ({"epochs": 3}, "/params/epochs"),
    ],
)
def test_impossible_parameters_are_named(params: dict[str, Any], pointer: str, dataset: dict[str, Any]) -> None:
    with pytest.raises(LearningError) as refused:
        plan(dataset["columns"], "species", num_rows=dataset["num_rows"], spec="ensemble", params=params)
    assert refused.value.pointer == pointer
