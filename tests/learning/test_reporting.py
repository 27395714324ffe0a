"""What a training tells while it goes on, and how it obeys, on real trainings."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.learning import train
from app.learning.evaluation.cost import evaluation_seconds
from app.learning.prepared import prepare
from app.learning.reporting import Reporter
from app.learning.runtime import Predictor
from app.learning.snapshots import Snapshots
from tests.learning.datasets import write_dataset

Message = dict[str, Any]
PARAMS: dict[str, Any] = {"hidden": [16], "epochs": 12, "batch_size": 32, "early_stopping": None}


def make_request(folder: Path, *, task: str = "binary", num_rows: int = 600, **params: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"x{i}": rng.normal(size=num_rows).tolist() for i in range(5)}
    total = np.sum([columns[f"x{i}"] for i in range(3)], axis=0)
    shares, names = {"binary": [0.0], "multiclass": [-0.7, 0.7], "regression": None}[task], "abc"
    columns["y"] = total.tolist() if shares is None else [names[k] for k in np.searchsorted(shares, total)]
    types = dict.fromkeys(columns, "real") | {"y": "real" if shares is None else "category"}
    dataset = write_dataset(folder / "data.parquet", types, columns)
    return {"dataset": dataset, "target": "y", "task": task, "params": PARAMS | params}


def run(
    request: dict[str, Any], folder: Path, control: Callable[[], str | None] = lambda: None
) -> list[tuple[float, Message]]:
    """All messages, with the times at which they came."""
    folder.mkdir(exist_ok=True)
    heard: list[tuple[float, Message]] = []
    train.run(request, folder=folder, emit=lambda m: heard.append((time.monotonic(), m)), control=control)
    return heard


def of_type(heard: list[tuple[float, Message]], kind: str) -> list[Message]:
    return [message for _, message in heard if message["type"] == kind]


def after(num_polls: int, command: str) -> Callable[[], str | None]:
    """A control that says a command once, when it is asked for the so manieth time."""
    asked = iter([None] * num_polls + [command])
    return lambda: next(asked, None)


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("binary", {"validation_accuracy", "validation_roc_auc"}),
        ("multiclass", {"validation_accuracy"}),
        ("regression", {"validation_rmse"}),
    ],
)
def test_every_epoch_tells_losses_scores_and_the_rate(task: str, names: set[str], tmp_path: Path) -> None:
    heard = run(make_request(tmp_path, task=task, gradient_clip=1.0), tmp_path)
    told = of_type(heard, "metrics")
    assert [point["position"] for point in told] == list(range(1, 13))
    always = {"train_loss", "validation_loss", "learning_rate", "gradient_norm"}
    assert all(set(point["values"]) == always | names for point in told)
    result = heard[-1][1]
    measured = {f"validation_{name}": value for name, value in result["metrics"]["validation"].items()}
    assert all(told[-1]["values"][name] == pytest.approx(measured[name], rel=1e-4) for name in names)


def test_every_step_tells_its_loss_and_their_mean_is_that_of_the_epoch(tmp_path: Path) -> None:
    heard = run(make_request(tmp_path), tmp_path)
    steps = [point for message in of_type(heard, "losses") for point in message["points"]]
    per_epoch = heard[-1][1]["manifest"]["training"]["steps"] // 12
    assert [point["step"] for point in steps] == list(range(1, 12 * per_epoch + 1))
    assert steps[per_epoch - 1]["epoch"] == pytest.approx(1.0)
    first = [point["values"]["loss"] for point in steps[:per_epoch]]
    assert of_type(heard, "metrics")[0]["values"]["train_loss"] == pytest.approx(np.mean(first))


def test_few_messages_are_sent_however_many_the_steps(tmp_path: Path) -> None:
    heard = run(make_request(tmp_path, epochs=80, batch_size=8), tmp_path)
    steps = heard[-1][1]["manifest"]["training"]["steps"]
    seconds = heard[-1][0] - heard[0][0]
    assert steps > 4000
    assert len(of_type(heard, "progress")) < 8 + seconds / 0.15
    assert len(of_type(heard, "losses")) <= len(of_type(heard, "progress")) + 2


@pytest.mark.parametrize("stopping", [None, {"patience": 1000}])
def test_after_a_tenth_of_a_training_the_time_left_is_told_within_a_fifth(stopping: Any, tmp_path: Path) -> None:
    request = make_request(tmp_path, num_rows=3000, epochs=60, hidden=[64, 64], early_stopping=stopping)
    ratios = []
    # The machine may have been busy with something else just then.
    for attempt in range(4):
        heard = run(request, tmp_path / str(attempt))
        start = next(moment for moment, message in heard if message.get("phase") == "training")
        end = heard[-1][0]
        progress = [(moment, each) for moment, each in heard if each["type"] == "progress"]
        moment, told = next((m, p) for m, p in progress if m >= start + 0.1 * (end - start))
        assert (told["seconds_remaining"] is None) == (stopping is not None)
        ratios.append(told["seconds_remaining_at_most"] / (end - moment))
        if abs(ratios[-1] - 1) < 0.2:
            return
    raise AssertionError(f"estimates over truths: {ratios}")


def test_the_wall_clock_limit_bounds_the_estimate_and_may_change(tmp_path: Path) -> None:
    request = make_request(tmp_path, epochs=100_000) | {"wall_seconds": 1000.0}
    begun = time.monotonic()
    heard = run(request, tmp_path, after(200, "limit 2.5"))
    assert time.monotonic() - begun < 10
    assert "wall_time" in heard[-1][1]["manifest"]["training"]["stopped"]
    known = [each["seconds_remaining"] for each in of_type(heard, "progress") if each["seconds_remaining"]]
    assert min(known) < 3


@pytest.mark.parametrize("ended", [("finish", None), (None, 1e-6)])
def test_what_shall_end_at_once_takes_one_step(ended: tuple[str | None, float | None], tmp_path: Path) -> None:
    command, limit = ended
    heard = run(make_request(tmp_path) | {"wall_seconds": limit}, tmp_path, after(0, command or ""))
    assert heard[-1][1]["manifest"]["training"]["steps"] == 1


def test_finishing_within_an_epoch_keeps_the_best_one(tmp_path: Path) -> None:
    request = make_request(tmp_path, early_stopping={"patience": 50}, epochs=50)
    heard = run(request, tmp_path, after(100, "finish"))
    training = heard[-1][1]["manifest"]["training"]
    assert (training["steps"], training["stopped"]) == (100, "finish")
    told = of_type(heard, "metrics")
    best = min(told, key=lambda point: point["values"]["validation_loss"])
    assert training["best_epoch"] == best["position"]


def test_time_spent_by_lost_attempts_counts_against_the_limit(tmp_path: Path) -> None:
    request = make_request(tmp_path, epochs=100_000) | {"wall_seconds": 60.0, "seconds_before": 59.0}
    begun = time.monotonic()
    heard = run(request, tmp_path)
    assert time.monotonic() - begun < 10
    assert heard[-1][1]["manifest"]["training"]["seconds"] >= 60


def test_time_spent_before_a_checkpoint_counts_once(tmp_path: Path) -> None:
    request = make_request(tmp_path) | {"wall_seconds": 3600.0}
    saved = of_type(run(request, tmp_path, after(5, "pause")), "checkpoint")[-1]
    resume = {"path": saved["path"], "state": saved["state"] | {"seconds": 2000.0}, "sha256": saved["sha256"]}
    training = run(request | {"resume": resume, "seconds_before": 2000.0}, tmp_path)[-1][1]["manifest"]["training"]
    assert training["stopped"] == "epochs"
    assert 2000 < training["seconds"] < 2100


def test_a_curve_that_was_interrupted_within_a_point_is_that_of_an_undisturbed_training(tmp_path: Path) -> None:
    def points(heard: list[tuple[float, Message]]) -> list[tuple[int, Any, Any, Any]]:
        told = [point for message in of_type(heard, "losses") for point in message["points"]]
        return [(each["position"], each["values"], each["low"], each["high"]) for each in told]

    request = make_request(tmp_path, batch_size=8, epochs=25)
    first = run(request, tmp_path / "first", after(1201, "pause"))
    saved = of_type(first, "checkpoint")[-1]
    assert saved["step"] == 1201
    resume = {"path": saved["path"], "state": saved["state"], "sha256": saved["sha256"]}
    second = run(request | {"resume": resume}, tmp_path / "second")
    # Sums of pieces are rounded otherwise.
    for told, whole in zip(points(first + second), points(run(request, tmp_path / "whole")), strict=True):
        assert told[0] == whole[0]
        assert told[1] == pytest.approx(whole[1])
        assert told[2:] == whole[2:]


def test_snapshots_change_no_bit_and_answer_as_the_weights_they_are_of(tmp_path: Path) -> None:
    request = make_request(tmp_path, dropout=0.2, early_stopping={"patience": 1000}, epochs=30, calibrate=False)
    plain = run(request | {"checkpoint_seconds": 1e-3, "snapshots": False}, tmp_path / "plain")
    assert not of_type(plain, "snapshot")
    often = run(request | {"checkpoint_seconds": 1e-3}, tmp_path / "often")
    digest = plain[-1][1]["files"]["weights"]["sha256"]
    assert often[-1][1]["files"]["weights"]["sha256"] == digest
    snapshots = of_type(often, "snapshot")
    assert snapshots
    epochs = [each["epoch"] for each in snapshots]
    assert epochs == sorted(set(epochs))
    last = snapshots[-1]
    ended = run(request | {"snapshots": False, "last_step": last["step"]}, tmp_path / "ended")[-1][1]
    row = {f"x{i}": 1.0 for i in range(5)}
    answers = [
        Predictor.load(manifest, Path(path).read_bytes()).predict_rows([row])
        for manifest, path in (
            (last["manifest"], last["path"]),
            (ended["manifest"], ended["files"]["graph"]["path"]),
        )
    ]
    assert answers[0] == answers[1]
    best = {each["position"]: each["values"]["validation_loss"] for each in of_type(often, "metrics")}
    assert all(best[epoch] == min(best[e] for e in range(1, epoch + 1)) for epoch in epochs)


def test_snapshots_cost_a_hundredth_of_the_time(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    prepared = prepare(request, lambda message: None)
    training = train.make_training(prepared)
    told: list[Message] = []
    reporter = Reporter(
        told.append, lambda: None, tmp_path, started=0.0, fingerprint="", checkpoint_seconds=1e-3, wall_seconds=None
    )
    snapshots = Snapshots(request, prepared, reporter)
    begun, spent, epoch = time.monotonic(), 0.0, 0
    while time.monotonic() - begun < 3:
        epoch += 1
        before = time.monotonic()
        snapshots.offer(epoch, epoch, lambda: deepcopy(training.network))
        took = time.monotonic() - before
        # The first one pays for late imports.
        spent += took if len(told) > 1 else 0.0
        time.sleep(0.001)
    assert told
    assert spent / (time.monotonic() - begun) < 0.03


def test_a_network_that_cannot_be_exported_is_trained_all_the_same(tmp_path: Path) -> None:
    request = make_request(tmp_path, epochs=30, learning_rate=1e4, optimizer="sgd", momentum=0.0, task="regression")
    heard = run(request | {"checkpoint_seconds": 1e-3}, tmp_path)
    assert heard[-1][1]["type"] in ("result", "error")
    told = of_type(heard, "losses")
    assert told, "what led to a divergence is told, too"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_follows_the_last_step_is_part_of_the_time_left(task: str, tmp_path: Path) -> None:
    few, many = (prepare(make_request(tmp_path, task=task, num_rows=n), lambda message: None) for n in (600, 20_000))
    assert 0 < evaluation_seconds(few) < evaluation_seconds(many) < 10
    request = make_request(tmp_path, task=task, num_rows=20_000, epochs=1)
    begun = time.process_time()
    marks = {}

    def emit(message: Message) -> None:
        marks[message.get("phase", message["type"])] = time.process_time() - begun

    train.run(request, folder=tmp_path, emit=emit, control=lambda: None)
    assert evaluation_seconds(many) == pytest.approx(marks["exporting"] - marks["evaluating"], rel=0.8)
