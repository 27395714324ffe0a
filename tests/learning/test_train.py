"""A whole training: what it tells, how it obeys, and how it fails."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.learning import train, weights
from app.learning.errors import LearningError
from tests.learning.datasets import REPOSITORY, write_dataset

Messages = list[dict[str, Any]]


@pytest.fixture
def dataset(tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(1)
    x_B = generator.normal(size=240)
    columns = {
        "x": x_B.tolist(),
        "noise": generator.normal(size=240).tolist(),
        "same": [4] * 240,
        "note": [f"note {index}" for index in range(240)],
        "y": [["low", "high"][int(value > 0)] for value in x_B],
    }
    types = {"x": "real", "noise": "real", "same": "integer", "note": "text", "y": "category"}
    return write_dataset(tmp_path / "data.parquet", types, columns)


def run(dataset: dict[str, Any], control: Callable[[], str | None] = lambda: None, **request: Any) -> Messages:
    messages: Messages = []
    body = {"dataset": dataset, "target": "y", **request}
    train.run(body, folder=Path(dataset["path"]).parent, emit=messages.append, control=control)
    return messages


def of_type(messages: Messages, kind: str) -> Messages:
    return [message for message in messages if message["type"] == kind]


def test_a_training_tells_its_phases_epochs_and_result_in_json(dataset: dict[str, Any]) -> None:
    messages = run(dataset, params={"epochs": 7})
    json.dumps(messages, allow_nan=False)
    phases = [message["phase"] for message in of_type(messages, "phase")]
    assert phases == ["loading", "preprocessing", "training", "evaluating", "exporting"]
    assert [message["epoch"] for message in of_type(messages, "metrics")] == list(range(1, 8))
    assert of_type(messages, "progress")[-1]["fraction"] == 1.0
    result = messages[-1]
    manifest = result["manifest"]
    assert manifest["training"]["stopped"] == "epochs"
    assert manifest["split"]["num_rows"] == {"train": 168, "validation": 36, "test": 36}
    assert manifest["classes"] == ["high", "low"]
    assert {item["name"]: item["role"] for item in manifest["inputs"]} == {
        "x": "numeric", "noise": "numeric", "same": "left_out", "note": "left_out",
    }  # fmt: skip
    for file in result["files"].values():
        assert Path(file["path"]).stat().st_size == file["size_bytes"]
    told = of_type(messages, "event")[0]
    assert set(told["data"]["columns"]) == {"same", "note"}


def test_early_stopping_keeps_the_weights_of_the_best_epoch(dataset: dict[str, Any]) -> None:
    params = {"epochs": 60, "early_stopping": {"patience": 3}, "learning_rate": 0.02, "schedule": "constant"}
    messages = run(dataset, params=params | {"calibrate": False})
    curve = [message["values"]["validation_loss"] for message in of_type(messages, "metrics")]
    training = messages[-1]["manifest"]["training"]
    assert training["stopped"] == "early_stopping"
    assert training["epochs_run"] == training["best_epoch"] + 3 == len(curve)
    assert training["best_epoch"] == int(np.argmin(curve)) + 1
    assert messages[-1]["metrics"]["validation"]["log_loss"] == pytest.approx(min(curve), abs=1e-5)


def test_without_a_validation_part_all_epochs_run_and_the_last_weights_stay(dataset: dict[str, Any]) -> None:
    messages = run(dataset, params={"epochs": 5}, split={"validation": 0, "test": 0})
    training = messages[-1]["manifest"]["training"]
    assert (training["epochs_run"], training["best_epoch"], training["stopped"]) == (5, 5, "epochs")
    assert messages[-1]["metrics"]["test"] == {}
    assert "validation_loss" not in of_type(messages, "metrics")[0]["values"]


def test_cancel_stops_at_once_and_leaves_no_result(dataset: dict[str, Any]) -> None:
    answers = iter([None, None, "cancel"])
    messages = run(dataset, control=lambda: next(answers))
    assert messages[-1] == {"type": "stopped", "reason": "cancelled"}
    assert not of_type(messages, "checkpoint")


def test_pause_leaves_a_checkpoint_before_it_stops(dataset: dict[str, Any]) -> None:
    messages = run(dataset, control=lambda: "pause")
    saved = messages[-3]
    assert (saved["type"], saved["step"], messages[-1]["reason"]) == ("checkpoint", 0, "paused")
    assert weights.read(Path(saved["path"]), digest=saved["sha256"])
    json.dumps(saved["state"], allow_nan=False)


def test_finish_stops_now_and_keeps_the_best(dataset: dict[str, Any]) -> None:
    answers = iter([None] * 20)
    messages = run(dataset, control=lambda: next(answers, "finish"))
    training = messages[-1]["manifest"]["training"]
    assert (training["stopped"], training["steps"]) == ("finish", 20)
    assert messages[-1]["files"]["graph"]


def test_the_time_limit_in_training_finishes_early_and_says_so(dataset: dict[str, Any]) -> None:
    messages = run(dataset, wall_seconds=1e-9)
    assert messages[-1]["manifest"]["training"]["stopped"] == "wall_time"
    assert any("time limit" in message["message"] for message in of_type(messages, "event"))


@pytest.mark.parametrize("value", [1e4, 1e3])
def test_divergence_is_told_with_its_step(value: float, dataset: dict[str, Any]) -> None:
    params = {
        "optimizer": "sgd", "momentum": 0.99, "learning_rate": value, "schedule": "constant", "warmup_epochs": 0,
        "activation": "identity", "hidden": [64] * 8, "early_stopping": None, "epochs": 200,
    }  # fmt: skip
    error = run(dataset, params=params)[-1]
    assert (error["type"], error["code"], error["pointer"]) == ("error", "diverged", "/params/learning_rate")
    assert "at step" in error["message"]
    assert error["details"]["suggested"] == {"params": {"learning_rate": 0.02}}
    assert error["next_step"].startswith("Start a new job with learning_rate 0.02")


def test_a_bad_request_is_told_as_an_error_with_pointers(dataset: dict[str, Any]) -> None:
    error = run(dataset, params={"hidden": [0]})[-1]
    assert (error["type"], error["pointer"]) == ("error", "/params/hidden/0")


@pytest.mark.parametrize("failure", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: …")])
def test_a_refused_allocation_is_told_as_out_of_memory(failure: Exception, dataset: dict[str, Any]) -> None:
    def control() -> str | None:
        raise failure

    assert run(dataset, control=control)[-1]["code"] == "out-of-memory"


@pytest.mark.parametrize("failure", [ValueError("bug"), RuntimeError("bug")])
def test_a_bug_is_not_told_as_the_users_fault(failure: Exception, dataset: dict[str, Any]) -> None:
    def control() -> str | None:
        raise failure

    with pytest.raises(type(failure), match="bug"):
        run(dataset, control=control)


def test_a_data_set_that_changed_on_disk_is_refused(dataset: dict[str, Any]) -> None:
    assert run(dataset | {"sha256": "0" * 64})[-1]["code"] == "dataset-corrupt"


def test_only_training_rows_teach_the_preparation_and_the_targets_scale(tmp_path: Path) -> None:
    columns = {
        "x": [float(row % 5) for row in range(40)] + [1e6] * 20,
        "c": ["a", "b"] * 20 + ["later"] * 20,
        "y": [float(row % 7) for row in range(40)] + [1e9] * 20,
        "part": ["train"] * 40 + ["validation"] * 10 + ["test"] * 10,
    }
    types = {"x": "real", "c": "category", "y": "real", "part": "category"}
    dataset = write_dataset(tmp_path / "d.parquet", types, columns)
    manifest = run(dataset, params={"epochs": 1}, split={"method": "column", "column": "part"})[-1]["manifest"]
    x, c = manifest["inputs"]
    assert (x["scaling"]["center"], x["maximum"]) == (2.0, 4.0)
    assert c["categories"] == ["a", "b"]
    assert manifest["output"]["shift"] == pytest.approx(np.mean(columns["y"][:40]))


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    columns = {"x": list(range(60)), "y": [None, "a", "b"] * 20}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "integer", "y": "category"}, columns)
    messages = run(dataset, params={"epochs": 1})
    assert of_type(messages, "event")[0]["data"] == {"num_rows": 20}
    assert sum(messages[-1]["manifest"]["split"]["num_rows"].values()) == 40


def test_a_class_that_no_training_row_has_is_not_measured(tmp_path: Path) -> None:
    columns = {"x": list(range(60)), "y": ["a", "b"] * 29 + ["c", "c"], "part": ["train"] * 50 + ["test"] * 10}
    types = {"x": "integer", "y": "category", "part": "category"}
    dataset = write_dataset(tmp_path / "d.parquet", types, columns)
    messages = run(dataset, params={"epochs": 1}, split={"method": "column", "column": "part"})
    told = [message["data"] for message in of_type(messages, "event") if message["level"] == "warning"]
    assert {"num_rows": 2, "part": "test"} in told
    assert messages[-1]["manifest"]["classes"] == ["a", "b"]


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_very_few_rows_are_enough_or_a_clear_error(rows: int, tmp_path: Path) -> None:
    columns = {"x": [float(index) for index in range(rows)], "y": [float(index % 2) + 3 for index in range(rows)]}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "real"}, columns)
    last = run(dataset, params={"epochs": 2, "normalization": "batch"})[-1]
    assert last["type"] in ("result", "error")
    json.dumps(last, allow_nan=False)


def test_class_weights_lift_the_rare_class(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x_B = generator.normal(size=1000)
    rare_B = x_B + generator.normal(size=1000) > 2.3
    columns = {"x": x_B.tolist(), "y": ["rare" if rare else "usual" for rare in rare_B]}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "category"}, columns)
    recall = [
        run(dataset, spec="linear", params={"class_weights": choice})[-1]["metrics"]["train"]["balanced_accuracy"]
        for choice in ("none", "balanced")
    ]
    assert recall[1] > recall[0] + 0.1


@pytest.mark.parametrize("optimizer", ["gd", "sgd", "rmsprop", "adam", "adamw", "muon", "schedule_free"])
@pytest.mark.parametrize("precision", ["float32", "float64", "bf16"])
def test_every_optimizer_learns_in_either_precision(optimizer: str, precision: str, dataset: dict[str, Any]) -> None:
    params = {"optimizer": optimizer, "precision": precision, "epochs": 40}
    metrics = run(dataset, spec="linear", params=params)[-1]["metrics"]
    assert metrics["train"]["log_loss"] < 0.95 * metrics["baseline"]["train"]["log_loss"]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_every_regression_loss_learns(loss: str, tmp_path: Path) -> None:
    x_B = np.linspace(-1, 1, 200)
    columns = {"x": x_B.tolist(), "y": (100 * x_B + 1000).tolist()}
    dataset = write_dataset(tmp_path / "d.parquet", {"x": "real", "y": "real"}, columns)
    assert run(dataset, params={"loss": loss, "epochs": 40})[-1]["metrics"]["test"]["r2"] > 0.95


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle", "plateau"])
def test_every_schedule_learns(schedule: str, dataset: dict[str, Any]) -> None:
    metrics = run(dataset, params={"schedule": schedule, "epochs": 30, "label_smoothing": 0.01})[-1]["metrics"]
    assert metrics["train"]["accuracy"] > 0.9


def test_preloading_starts_no_thread_and_its_forks_can_train(dataset: dict[str, Any]) -> None:
    code = (
        "import json, os, pathlib, sys\n"
        "from app.learning import train\n"
        "train.preload()\n"
        "threads = len(os.listdir('/proc/self/task'))\n"
        "assert threads == 1, threads\n"
        "said = []\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    request = json.loads(sys.argv[1])\n"
        "    train.run(request, folder=pathlib.Path(sys.argv[2]), emit=said.append, control=lambda: None)\n"
        "    os._exit(0 if said[-1]['type'] == 'result' else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    request = json.dumps({"dataset": dataset, "target": "y", "params": {"epochs": 2}})
    command = [sys.executable, "-W", "error", "-c", code, request, str(Path(dataset["path"]).parent)]
    subprocess.run(command, check=True, env=environment, cwd=REPOSITORY)


def test_the_numbers_in_a_message_are_finite(dataset: dict[str, Any]) -> None:
    def finite(value: Any) -> bool:
        if isinstance(value, dict | list):
            return all(map(finite, value.values() if isinstance(value, dict) else value))
        return not isinstance(value, float) or math.isfinite(value)

    assert all(finite(message) for message in run(dataset, params={"epochs": 2}))


def test_learning_errors_carry_their_code_and_pointer() -> None:
    error = LearningError("No.", pointer="/target")
    assert (error.code, error.errors) == ("invalid-training", [{"pointer": "/target", "detail": "No."}])


def test_numbers_that_slow_processors_down_are_taken_for_0_while_a_network_learns(tmp_path: Path) -> None:
    def is_flushed() -> bool:
        return bool((torch.full((1,), 1e-40) * 1.0 == 0).item())

    seen: list[bool] = []
    dataset = write_dataset(
        tmp_path / "d.parquet", {"x": "real", "y": "real"}, {"x": [1.0, 2.0] * 50, "y": [3.0, 5.0] * 50}
    )
    # Snapshots open sessions of another library, which undo it for their thread.
    request = {"dataset": dataset, "target": "y", "params": {"epochs": 5, "hidden": [4]}, "checkpoint_seconds": 1e-3}
    train.run(request, folder=tmp_path, emit=lambda message: None, control=lambda: seen.append(is_flushed()))
    assert len(seen) >= 5
    assert all(seen)
    assert not is_flushed()
