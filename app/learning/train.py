"""One training from request to files: what runs inside a training child. Imports torch.

Deterministic: same request, data, thread count and CPU give the same bits in weights and graph.
"""

from __future__ import annotations

import json
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app.learning import evaluate, specs, weights
from app.learning.batches import Data
from app.learning.ensemble.learner import Ensemble, prepare_rounds
from app.learning.errors import Diverged, LearningError, OutOfMemory
from app.learning.estimating import rescue
from app.learning.evaluation.cost import evaluation_seconds
from app.learning.evaluation.linear import Linear, fit_linear
from app.learning.export import export
from app.learning.hardware import choose_hardware
from app.learning.learned import Learned, outputs
from app.learning.loop import Training
from app.learning.losses import balanced_weights, make_loss
from app.learning.manifest import make_manifest
from app.learning.memory import Meter, is_refusal, keep_heap_whole, wanted_bytes
from app.learning.networks.abilities import FittedToData
from app.learning.plan import Plan
from app.learning.prepared import Emit, Prepared, Rows, prepare
from app.learning.reporting import Control, Reporter
from app.learning.scores import make_score
from app.learning.snapshots import Snapshots
from app.learning.spec import as_network
from app.learning.specs.ensemble import EnsembleParams
from app.learning.threads import settle_threads

# What is otherwise imported by the first call that needs it: a median, a column, an optimizer (two seconds).
IMPORTED_LATE = ("numpy.ma", "pyarrow.parquet", "pyarrow.compute", "torch._dynamo")
CHECKPOINT_SECONDS = 10.0
Learner = Training | Ensemble

ENDINGS = {
    "early_stopping": "The validation loss has stopped improving; the best epoch's weights are kept.",
    "finish": "Finished early on request; the best weights so far are kept.",
    "budget": "The budget of time was used up before all networks had been learned.",
    "wall_time": "The time limit was reached in training; the best weights so far are kept.",
}


def preload() -> None:
    """Import what a training needs, once, before children are forked; starts no thread.

    numpy starts threads at import unless OPENBLAS_NUM_THREADS=1 stands in the environment: the caller's part.
    No gradient is computed here, because autograd refuses to work in a fork of a process that used it.
    """
    # Arrow's allocator would start a thread of its own.
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    keep_heap_whole()
    for name in IMPORTED_LATE:
        import_module(name)
    specs.installed()
    torch.set_num_threads(1)
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    torch.optim.AdamW([parameter], fused=True)


def run(request: Mapping[str, Any], *, folder: Path, emit: Emit, control: Control) -> None:
    """Train as the request says, telling everything through `emit`; files are written into `folder`.

    `control` is asked before every step and answers None, "pause", "cancel" or "finish" at once. Expected
    failures (data, parameters, divergence, memory) end as an `error` message; anything raised is a bug.
    """
    meter = Meter()
    try:
        _run(request, folder, emit, control)
    except LearningError as error:
        emit(_error(error))
    except Exception as error:
        if not isinstance(error, MemoryError) and not is_refusal(str(error)):
            raise
        emit(_error(_out_of_memory(error, meter, request)))


def _error(error: LearningError) -> dict[str, Any]:
    members = ("code", "message", "pointer", "errors", "details", "next_step")
    return {"type": "error"} | {name: getattr(error, name) for name in members}


def _out_of_memory(cause: Exception, meter: Meter, request: Mapping[str, Any]) -> OutOfMemory:
    peak, wanted = meter.peak_bytes(), wanted_bytes(str(cause))
    # What the training had is held by the frames that the failure has come through.
    traceback.clear_frames(cause.__traceback__)
    fitting = rescue.fitting_params(request)
    refused = f" and was refused {wanted:,} more" if wanted else ""
    message = f"The training ran out of memory: it had {peak:,} bytes{refused}."
    details = {"peak_bytes": peak, "refused_bytes": wanted, "suggested": {"params": fitting} if fitting else None}
    return OutOfMemory(message, pointer="/limits/memory_bytes", details=details, next_step=rescue.sentence(fitting))


def _run(request: Mapping[str, Any], folder: Path, emit: Emit, control: Control) -> None:
    started = time.monotonic()
    torch.set_num_threads(1)
    prepared = prepare(request, emit)
    training = _learner(request, prepared, folder)
    fingerprint = _fingerprint(prepared.plan, request["dataset"])
    reporter = Reporter(
        emit, control, folder, started=started, fingerprint=fingerprint,
        checkpoint_seconds=request.get("checkpoint_seconds") or CHECKPOINT_SECONDS,
        wall_seconds=request.get("wall_seconds"), seconds_before=request.get("seconds_before") or 0.0,
        validation_rows=len(prepared.rows["validation"]), closing_rows=sum(map(len, prepared.rows.values())),
        closing_seconds=evaluation_seconds(prepared),
    )  # fmt: skip
    if request.get("resume"):
        _resume(training, reporter, request["resume"], fingerprint)
    reason = _train(training, reporter, Snapshots(request, prepared, reporter), request)
    if reason in ("paused", "cancelled"):
        emit({"type": "stopped", "reason": reason})
        return
    if reason in ENDINGS:
        reporter.say("info", ENDINGS[reason], epoch=training.epoch, step=training.step)
    finish(request, prepared, training, reporter, reason)


def _learner(request: Mapping[str, Any], prepared: Prepared, folder: Path) -> Learner:
    """The training of a network, or of an ensemble of them."""
    params = prepared.plan.params
    if isinstance(params, EnsembleParams):
        rounds = prepare_rounds(request, prepared, params)
        return Ensemble(rounds, params, folder, processes=request.get("processes") or 1)
    return make_training(prepared)


def _train(training: Learner, reporter: Reporter, snapshots: Snapshots, request: Mapping[str, Any]) -> str:
    """Run a training; returns why it ended, after all that it has to tell."""

    def end_epoch(now: Learner) -> None:
        reporter.end_epoch(now)
        snapshots.offer(now.kept_epoch, now.kept_step, now.copy_kept)

    if isinstance(training, Training) and training.params.compile:
        reporter.emit({"type": "phase", "phase": "compiling"})
        training.stepper.compile(lambda message: reporter.say("warning", message))
    reporter.begin(training)
    if isinstance(training, Training):
        settle_threads(training, request.get("threads") or training.params.threads)
    try:
        reason = training.run(_until(request.get("last_step"), reporter.poll), end_epoch)
    except Diverged:
        reporter.end(training)
        raise
    if reason == "paused":
        reporter.report(training)
    else:
        reporter.end(training)
    return reason


def _until(last_step: int | None, poll: Callable[[Learner], str | None]) -> Callable[[Learner], str | None]:
    """Finish after this step, as somebody has done before: a training that time has ended can be repeated."""

    def stop(training: Learner) -> str | None:
        return "finish" if last_step is not None and training.step >= last_step else poll(training)

    return stop


def make_training(prepared: Prepared) -> Training:
    """Return the training of prepared data: a network from the spec, its initial weights from the seed."""
    plan = prepared.plan
    build, params = as_network(plan.spec, plan.params)
    hardware = choose_hardware(params)
    dtype = hardware.dtype
    torch.manual_seed(plan.seed)
    train, validation = prepared.rows["train"], prepared.rows["validation"]
    network = build(prepared.preparation.layout, prepared.head.num_outputs, params, dtype)
    balance = None
    if params.class_weights == "balanced":
        num_classes = len(prepared.head.classes)
        balance = torch.from_numpy(balanced_weights(train.learned_B.astype("int64"), num_classes))
    smooth = make_loss(plan.loss, plan.task, label_smoothing=params.label_smoothing)
    data = _data(train, plan.task, dtype, balance)
    if isinstance(network, FittedToData):
        network.fit(data.x_BF, data.y_B, plan.task)
    training = Training(
        network, params, smooth, make_loss(plan.loss, plan.task),
        train=data,
        validation=_data(validation, plan.task, dtype, balance) if len(validation) else None,
        seed=plan.seed, score=make_score(prepared.head), hardware=hardware,
    )  # fmt: skip
    _check_batches(training)
    return training


def _check_batches(training: Training) -> None:
    rows_of_step = len(training.train) // training.steps_per_epoch
    rows_of_batch = rows_of_step // math.ceil(rows_of_step / training.stepper.batch_size)
    normalises = any(isinstance(module, nn.BatchNorm1d) for module in training.network.modules())
    if normalises and rows_of_batch < 2:
        message = "Some batches would be single rows, which cannot be normalised: larger ones, or fewer to accumulate."
        raise LearningError(message, pointer="/params/batch_size")


def _data(rows: Rows, task: str, dtype: torch.dtype, balance_K: torch.Tensor | None) -> Data:
    learned_B = torch.from_numpy(rows.learned_B)
    y_B = learned_B.long() if task == "multiclass" else learned_B.to(dtype)
    w_B = None if balance_K is None else balance_K[learned_B.long()].to(dtype)
    return Data(torch.from_numpy(rows.x_BF).to(dtype), y_B, w_B)


def _fingerprint(plan: Plan, dataset: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in plan.to_json().items() if name != "estimate"}
    text = json.dumps([asked, dataset.get("sha256"), dataset["num_rows"]], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _resume(training: Learner, reporter: Reporter, resume: Mapping[str, Any], fingerprint: str) -> None:
    state = dict(resume["state"])
    if state.pop("fingerprint", None) != fingerprint:
        raise LearningError("The checkpoint belongs to another training.", code="checkpoint-mismatch")
    reporter.resume(state)
    training.resume(weights.read(Path(resume["path"]), digest=resume.get("sha256")), state)


def finish(request: Mapping[str, Any], prepared: Prepared, training: Learner, reporter: Reporter, reason: str) -> None:
    """Keep the best weights, measure them, write the files and the manifest."""
    emit, folder = reporter.emit, reporter.folder
    reporter.closing("evaluating", training)
    # An ensemble may have learned twice: what was measured, and what is served, which knows the test part, too.
    rounds = _learned(training, prepared, reason)
    (measured, _), (learned, served) = rounds[0], rounds[-1]
    written = weights.write(folder / "weights.safetensors", learned.network.state_dict())
    evaluated = evaluate.evaluate(measured, prepared, _linear(prepared, reporter))
    if learned is not measured:
        evaluated = evaluate.serve(evaluated, learned, served)
    reporter.closing("exporting", training)
    graph = export(evaluated.answer, torch.from_numpy(served.rows["train"].x_BF))
    files = {
        "weights": written,
        "graph": weights.write_bytes(folder / "graph.onnx", graph),
        "evaluation": weights.write_bytes(folder / "evaluation.json", evaluated.document),
    }
    history = learned.history | {"seconds": reporter.seconds()}
    manifest = make_manifest(request, served, learned.network, history, evaluated, prepared.parts)
    emit({"type": "result", "files": files, "manifest": manifest, "metrics": evaluated.metrics})


def _linear(prepared: Prepared, reporter: Reporter) -> Linear | None:
    """The linear baseline; what stands in its way is told, and costs nobody the model."""
    try:
        linear = fit_linear(prepared, lambda: reporter.seconds() >= reporter.wall_seconds)
        reason = "there was no time left, or its loss was not finite"
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not is_refusal(str(error)):
            raise
        linear, reason = None, "there was not enough memory"
    if linear is None:
        reporter.say("warning", f"The linear baseline is left out: {reason}.", baseline="linear")
    return linear


def _learned(training: Learner, prepared: Prepared, reason: str) -> list[tuple[Learned, Prepared]]:
    """The best weights of a training, and what they answer on the validation part, for each round of it."""
    if isinstance(training, Ensemble):
        return training.learned(reason)
    kept_epoch = training.restore_best()
    history = {
        "epochs_run": training.progress.epoch, "best_epoch": kept_epoch, "steps": training.step, "stopped": reason,
        "device": training.hardware.device.type, "precision": training.hardware.precision,
    }  # fmt: skip
    validation = prepared.rows["validation"]
    held_out_BK = outputs(training.network, torch.from_numpy(validation.x_BF).to(training.hardware.dtype))
    return [(Learned(training.network, validation, held_out_BK, history), prepared)]
