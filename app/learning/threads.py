"""How many threads a training computes with: as many as pay, found out by timing steps that are then forgotten.

The number decides in which order sums are rounded, so it is part of a training's state: it is stored in checkpoints and
in the manifest, and whoever repeats the training uses it again. Deterministic: for small trainings, which have one.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise

import torch

from app.learning.loop import Training

# Below this, a training is over before the question is answered, or its steps are too short to share.
MIN_STEP_WORK, MIN_WORK = 10**7, 10**10
# Two threads must be faster by this to be worth a second core.
MIN_GAIN = 1.1
WARM_UP_STEPS, TIMED_STEPS = 2, 8
TIMED_SECONDS = 0.1


def settle_threads(training: Training, wanted: int | str) -> None:
    """Compute with the number of threads that a resumed training had, else as many as wanted; `auto` finds out."""
    progress = training.progress
    if progress.threads is None:
        progress.threads = _fastest(training) if wanted == "auto" else int(wanted)
    torch.set_num_threads(progress.threads)


def _fastest(training: Training) -> int:
    """Double the threads for as long as that pays."""
    step_work = training.stepper.batch_size * sum(parameter.numel() for parameter in training.network.parameters())
    num_batches = training.num_steps * training.params.accumulate
    on_cpu = training.hardware.device.type == "cpu"
    if not on_cpu or step_work < MIN_STEP_WORK or step_work * num_batches < MIN_WORK:
        return 1
    counts = _counts(len(os.sched_getaffinity(0)))
    best = next(counts)
    best_seconds = _seconds_per_step(training, best)
    for count in counts:
        seconds = _seconds_per_step(training, count)
        if seconds * MIN_GAIN > best_seconds:
            break
        best, best_seconds = count, seconds
    return best


def _counts(num_cores: int) -> Iterator[int]:
    count = 1
    while count <= num_cores:
        yield count
        count *= 2


def _seconds_per_step(training: Training, num_threads: int) -> float:
    """Time steps of a copy of the training, which leaves the training as it was."""
    torch.set_num_threads(num_threads)
    state = torch.get_rng_state()
    trial = Training(
        copy.deepcopy(training.network), training.params, training.loss, training.validation_loss,
        train=training.train, validation=None, seed=training.seed, hardware=training.hardware,
    )  # fmt: skip
    times: list[float] = []

    def poll(now: Training) -> str | None:
        times.append(time.perf_counter())
        num_timed = len(times) - 1 - WARM_UP_STEPS
        late = times[-1] - times[0] > TIMED_SECONDS
        return "timed" if num_timed >= TIMED_STEPS or (num_timed > 0 and late) else None

    trial.run(poll, lambda now: None)
    torch.set_rng_state(state)
    steps = [end - start for start, end in pairwise(times)]
    return statistics.median(steps[WARM_UP_STEPS:])
