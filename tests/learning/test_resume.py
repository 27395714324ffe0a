"""A training that was killed and resumed ends with the bits of one that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.learning import specs, train
from tests.learning.datasets import penguins, write_dataset

HARD: dict[str, Any] = {
    "epochs": 12, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "batch_size": 32,
    "schedule": "one_cycle", "gradient_clip": 1.0, "early_stopping": {"patience": 3},
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "sgd": HARD,
    "adamw": {"epochs": 12, "optimizer": "adamw", "batch_size": 32},
    "gd": {"epochs": 12, "optimizer": "gd", "accumulate": 3},
    "adam": {"epochs": 12, "optimizer": "adam", "batch_size": 16, "accumulate": 3, "ema_decay": 0.9, "beta2": 0.95},
    "muon": {"epochs": 12, "optimizer": "muon", "batch_size": 32, "early_stopping": None, "label_smoothing": 0.1},
    "schedule_free": {"epochs": 12, "optimizer": "schedule_free", "batch_size": 32, "class_weights": "balanced"},
    "bf16": {"epochs": 12, "precision": "bf16", "batch_size": 32, "ema_decay": 0.9, "gradient_clip": 0.5},
    "float64": {"epochs": 12, "precision": "float64", "schedule": "step", "decay_epochs": 2, "ema_decay": 0.99},
    "plateau": {"epochs": 12, "optimizer": "rmsprop", "momentum": 0.5, "schedule": "plateau", "decay_epochs": 1},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    types, columns = penguins()
    return write_dataset(tmp_path_factory.mktemp("data") / "penguins.parquet", types, columns)


def make_request(dataset: dict[str, Any], spec: str, params: dict[str, Any]) -> dict[str, Any]:
    known = specs.get(spec).params.model_fields
    dropout = {"dropout": 0.3} if "dropout" in known else {}
    norm = {"normalization": "batch"} if "normalization" in known else {}
    return {
        "dataset": dataset, "target": "species", "spec": spec, "params": {**params, **dropout, **norm},
        "seed": 5, "checkpoint_seconds": 1e9,
    }  # fmt: skip


def run(request: dict[str, Any], folder: Path, control: Callable[[], str | None]) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    messages: list[dict[str, Any]] = []
    train.run(request, folder=folder, emit=messages.append, control=control)
    return messages


def pause_before(step: int) -> Callable[[], str | None]:
    """Return a control that says pause when it is asked for the (step + 1)th time."""
    asked = iter([None] * step + ["pause"] * 1000)
    return lambda: next(asked)


def resumed_from(messages: list[dict[str, Any]]) -> dict[str, Any]:
    saved = [message for message in messages if message["type"] == "checkpoint"][-1]
    return {"path": saved["path"], "state": saved["state"], "sha256": saved["sha256"]}


def losses(messages: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    """The curves by epoch and by step, which no interruption changes."""
    points = [message for message in messages if message["type"] == "metrics"]
    points += [point for message in messages if message["type"] == "losses" for point in message["points"]]
    return [(point["position"], point["values"]) for point in points]


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@pytest.mark.parametrize("spec", sorted(name for name, spec in specs.SPECS.items() if spec.build is not None))
def test_a_resumed_training_ends_with_the_same_bits(
    spec: str, variant: str, dataset: dict[str, Any], tmp_path: Path
) -> None:
    request = make_request(dataset, spec, VARIANTS[variant])
    undisturbed = run(request, tmp_path / "whole", lambda: None)
    steps = undisturbed[-1]["manifest"]["training"]["steps"]
    heard: list[dict[str, Any]] = []
    resume = None
    for attempt, pause in enumerate([0, 5, steps // 3, None]):
        control = pause_before(pause) if pause is not None else lambda: None
        messages = run(request | {"resume": resume}, tmp_path / str(attempt), control)
        heard += messages
        if pause is not None:
            assert messages[-1] == {"type": "stopped", "reason": "paused"}
            resume = resumed_from(messages)
    assert heard[-1]["files"]["weights"]["sha256"] == undisturbed[-1]["files"]["weights"]["sha256"]
    assert heard[-1]["files"]["graph"]["sha256"] == undisturbed[-1]["files"]["graph"]["sha256"]
    assert losses(heard) == losses(undisturbed)


def test_the_best_epoch_may_lie_before_the_kill(dataset: dict[str, Any], tmp_path: Path) -> None:
    request = make_request(dataset, "dense", HARD | {"learning_rate": 0.3, "epochs": 40})
    undisturbed = run(request, tmp_path / "whole", lambda: None)
    training = undisturbed[-1]["manifest"]["training"]
    assert training["best_epoch"] < training["epochs_run"]
    stopped = run(request, tmp_path / "first", pause_before(training["steps"] - 1))
    resumed = run(request | {"resume": resumed_from(stopped)}, tmp_path / "second", lambda: None)
    assert resumed[-1]["files"]["weights"]["sha256"] == undisturbed[-1]["files"]["weights"]["sha256"]
    assert resumed[-1]["manifest"]["training"]["best_epoch"] == training["best_epoch"]


def test_checkpoints_in_passing_change_nothing(dataset: dict[str, Any], tmp_path: Path) -> None:
    request = make_request(dataset, "dense", HARD)
    plain = run(request, tmp_path / "plain", lambda: None)
    often = run(request | {"checkpoint_seconds": 1e-9}, tmp_path / "often", lambda: None)
    saved = [message for message in often if message["type"] == "checkpoint"]
    assert len(saved) == often[-1]["manifest"]["training"]["steps"]
    assert often[-1]["files"]["weights"]["sha256"] == plain[-1]["files"]["weights"]["sha256"]
    assert len(list((tmp_path / "often").glob("checkpoint-*"))) == 2


@pytest.mark.parametrize("change", [{"seed": 6}, {"params": {"epochs": 13}}, {"target": "sex"}])
def test_a_checkpoint_of_another_training_is_refused(
    change: dict[str, Any], dataset: dict[str, Any], tmp_path: Path
) -> None:
    request = make_request(dataset, "dense", HARD)
    messages = run(request, tmp_path, pause_before(3))
    answered = run(request | change | {"resume": resumed_from(messages)}, tmp_path, lambda: None)
    assert answered[-1]["code"] == "checkpoint-mismatch"


def test_a_checkpoint_with_a_flipped_bit_is_refused(dataset: dict[str, Any], tmp_path: Path) -> None:
    request = make_request(dataset, "dense", HARD)
    resume = resumed_from(run(request, tmp_path, pause_before(3)))
    payload = bytearray(Path(resume["path"]).read_bytes())
    payload[-1] ^= 1
    Path(resume["path"]).write_bytes(payload)
    assert run(request | {"resume": resume}, tmp_path, lambda: None)[-1]["code"] == "invalid-weights"
