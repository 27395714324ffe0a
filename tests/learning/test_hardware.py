"""Where and how precisely a training computes: devices, bf16, compiled networks, threads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.learning import threads, train, weights
from app.learning.hardware import choose_hardware
from app.learning.training_params import TrainingParams
from tests.learning.datasets import write_dataset

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
PARAMS = {"hidden": [16], "dropout": 0.2, "epochs": 4, "batch_size": 16}


@pytest.fixture
def dataset(tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(1)
    x_B = generator.normal(size=240)
    columns = {"x": x_B.tolist(), "y": [["low", "high"][int(value > 0)] for value in x_B]}
    return write_dataset(tmp_path / "data.parquet", {"x": "real", "y": "category"}, columns)


def run(
    dataset: dict[str, Any], folder: Path, control: Callable[[], str | None] = lambda: None, **request: Any
) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    messages: list[dict[str, Any]] = []
    params = PARAMS | request.pop("params", {})
    body = {"dataset": dataset, "target": "y", "params": params, "checkpoint_seconds": 1e9, **request}
    train.run(body, folder=folder, emit=messages.append, control=control)
    return messages


def digest(messages: list[dict[str, Any]]) -> str:
    return str(messages[-1]["files"]["weights"]["sha256"])


def paused(dataset: dict[str, Any], folder: Path, **request: Any) -> dict[str, Any]:
    """Pause before the sixth step; returns what resumes."""
    asked = iter([None] * 5)
    messages = run(dataset, folder, lambda: next(asked, "pause"), **request)
    saved = next(message for message in messages if message["type"] == "checkpoint")
    return {"path": saved["path"], "state": saved["state"], "sha256": saved["sha256"]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_gpu_that_is_not_there_is_refused_by_name(dataset: dict[str, Any], tmp_path: Path) -> None:
    error = run(dataset, tmp_path, params={"device": "cuda"})[-1]
    assert (error["type"], error["code"], error["pointer"]) == ("error", "no-device", "/params/device")
    assert "CUDA" in error["message"]


def test_on_a_cpu_auto_is_float32() -> None:
    hardware = choose_hardware(TrainingParams(device="cpu"))
    assert (hardware.device.type, hardware.precision, hardware.dtype) == ("cpu", "float32", torch.float32)


def test_bf16_computes_in_bf16_and_keeps_float32_weights(dataset: dict[str, Any], tmp_path: Path) -> None:
    exact, rough = (run(dataset, tmp_path, params={"precision": name}) for name in ("float32", "bf16"))
    assert rough[-1]["manifest"]["training"]["precision"] == "bf16"
    assert digest(rough) != digest(exact)
    tensors = weights.read(Path(rough[-1]["files"]["weights"]["path"]))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    # bf16 has eight bits of mantissa.
    losses = [messages[-1]["metrics"]["test"]["log_loss"] for messages in (exact, rough)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_network_that_cannot_be_compiled_is_trained_as_it_is_and_says_so(
    dataset: dict[str, Any], tmp_path: Path
) -> None:
    from torch._inductor import config

    plain = run(dataset, tmp_path / "plain")
    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        messages = run(dataset, tmp_path / "tried", params={"compile": True})
    warning = next(message for message in messages if message.get("level") == "warning")
    assert warning["message"].startswith("The network could not be compiled and is trained as it is: ")
    assert digest(messages) == digest(plain)


@pytest.mark.slow
@needs_compiler
def test_a_compiled_network_learns_the_same(
    dataset: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    params = {"dropout": 0.0}
    plain = run(dataset, tmp_path / "plain", params=params)
    messages = run(dataset, tmp_path / "compiled", params=params | {"compile": True})
    assert not [message for message in messages if message.get("level") == "warning"]
    assert list((tmp_path / "compiled").rglob("*.so"))
    losses = [each[-1]["metrics"]["test"]["log_loss"] for each in (plain, messages)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_small_trainings_have_one_thread(dataset: dict[str, Any], tmp_path: Path) -> None:
    assert run(dataset, tmp_path)[-1]["manifest"]["threads"] == 1


def test_a_number_of_threads_is_obeyed_stored_and_used_again(dataset: dict[str, Any], tmp_path: Path) -> None:
    undisturbed = run(dataset, tmp_path / "whole", params={"threads": 2})
    assert undisturbed[-1]["manifest"]["threads"] == 2
    assert run(dataset, tmp_path / "asked", threads=3)[-1]["manifest"]["threads"] == 3
    resume = paused(dataset, tmp_path / "first", params={"threads": 2})
    assert resume["state"]["threads"] == 2
    # Whoever resumes may say what he likes: the sums would be rounded in another order.
    resumed = run(dataset, tmp_path / "second", params={"threads": 2}, threads=1, resume=resume)
    assert resumed[-1]["manifest"]["threads"] == 2
    assert digest(resumed) == digest(undisturbed)


def test_timing_steps_leaves_a_training_as_it_was(
    dataset: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "MIN_STEP_WORK", 0)
    monkeypatch.setattr(threads, "MIN_WORK", 0)
    timed = run(dataset, tmp_path / "timed")
    number = timed[-1]["manifest"]["threads"]
    assert digest(timed) == digest(run(dataset, tmp_path / "told", threads=number))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["auto", "float32", "bf16"])
def test_a_gpu_learns_what_a_cpu_learns(precision: str, dataset: dict[str, Any], tmp_path: Path) -> None:
    on_cpu = run(dataset, tmp_path / "cpu", params={"device": "cpu", "dropout": 0.0})
    on_gpu = run(dataset, tmp_path / "gpu", params={"precision": precision, "dropout": 0.0})
    assert on_gpu[-1]["manifest"]["training"]["device"] == "cuda"
    losses = [messages[-1]["metrics"]["test"]["log_loss"] for messages in (on_cpu, on_gpu)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "schedule_free"])
def test_a_training_on_a_gpu_resumes(optimizer: str, dataset: dict[str, Any], tmp_path: Path) -> None:
    params = {"device": "cuda", "optimizer": optimizer}
    undisturbed = run(dataset, tmp_path / "whole", params=params)
    resumed = run(
        dataset, tmp_path / "second", params=params, resume=paused(dataset, tmp_path / "first", params=params)
    )
    losses = [messages[-1]["metrics"]["test"]["log_loss"] for messages in (undisturbed, resumed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.gpu
@needs_gpu
def test_a_divergence_on_a_gpu_is_told_with_the_step_of_the_loss(dataset: dict[str, Any], tmp_path: Path) -> None:
    params = {"device": "cuda", "optimizer": "sgd", "learning_rate": 1e4, "activation": "identity", "epochs": 50}
    error = run(dataset, tmp_path, params=params | {"schedule": "constant", "warmup_epochs": 0.0})[-1]
    assert error["code"] == "diverged"
