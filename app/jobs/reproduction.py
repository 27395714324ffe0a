"""Whether a training that ran again gave the same bits, and if not, where it first went another way.

A run is what is compared: the digests of weights and graph, the scores, and the curve, step by step. The manifests of
both say what was different around them: versions of libraries, processor, threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from app.errors import Conflict
from app.tables import JobRow, ModelVersionRow

# Of a manifest, what can make the same request end in other bits.
CIRCUMSTANCES = ("spec", "libraries", "machine", "threads", "split", "dataset", "num_parameters")

# How a training says that time, and not its plan, has ended it.
BY_TIME = frozenset({"finish", "wall_time"})


class Point(NamedTuple):
    """What a run told of one step."""

    step: int
    epoch: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """A training as far as it can be compared."""

    weights: str
    graph: str
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    curve: Sequence[Point]


def plan_again(job: JobRow, version: ModelVersionRow) -> dict[str, Any]:
    """The plan of a job, with what was decided while it ran: its threads, and the step at which time ended it.

    Raises: Conflict when time ended it in a way that no step can say.
    """
    manifest = version.manifest
    again = {**job.plan, "reproduces": job.id, "threads": manifest["threads"]}
    decided = {name: manifest["training"][name] for name in ("device", "precision") if name in manifest["training"]}
    again["params"] = job.plan["params"] | {name: word for name, word in decided.items() if name in job.plan["params"]}
    if manifest["training"].get("stopped") not in BY_TIME:
        return again
    if "steps" not in manifest["training"]:
        raise Conflict("Time ended this training in a way that cannot be repeated: train it again without the limit.")
    return again | {"last_step": manifest["training"]["steps"]}


def compare(recorded: Run, found: Run) -> dict[str, Any]:
    """What is equal, where the curves part first, and what was different around them."""
    first = first_difference(recorded.curve, found.curve)
    same = {
        "weights_equal": recorded.weights == found.weights,
        "graph_equal": recorded.graph == found.graph,
        "metrics_equal": _scores(recorded) == _scores(found),
    }
    around = [{name: run.manifest.get(name) for name in CIRCUMSTANCES} for run in (recorded, found)]
    return {
        "equal": all(same.values()) and first is None,
        **same,
        "first_difference": first,
        "differences": dict(differences(around[0], around[1])),
    }


def _scores(run: Run) -> dict[str, Any]:
    # The baselines are no part of the model; the linear one stops when the time is up.
    return {part: run.metrics.get(part) for part in ("train", "validation", "test")}


def first_difference(recorded: Sequence[Point], found: Sequence[Point]) -> dict[str, Any] | None:
    """The first point at which two curves differ, and by how much; None when they are the same."""
    for ours, theirs in zip_longest(recorded, found):
        if ours is None or theirs is None or ours.step != theirs.step:
            there = min((point for point in (ours, theirs) if point is not None), key=lambda point: point.step)
            return {"step": there.step, "epoch": there.epoch, "values": {}, "reason": "only one of them has this step"}
        values = {
            name: _apart(ours.values.get(name), theirs.values.get(name))
            for name in sorted(ours.values.keys() | theirs.values.keys())
            if ours.values.get(name) != theirs.values.get(name)
        }
        if values:
            return {"step": ours.step, "epoch": ours.epoch, "values": values, "reason": None}
    return None


def _apart(recorded: float | None, found: float | None) -> dict[str, float | None]:
    known = recorded is not None and found is not None
    return {"recorded": recorded, "found": found, "difference": found - recorded if known else None}  # type: ignore[operator]


def differences(recorded: Any, found: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The leaves that differ between two JSON values, by dotted path; what only one side knows is no difference."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in sorted(recorded.keys() & found.keys()):
            yield from differences(recorded[name], found[name], f"{path}.{name}" if path else name)
    elif recorded is not None and found is not None and recorded != found:
        yield path, {"recorded": recorded, "found": found}


def weights_apart(recorded: Path, found: Path) -> dict[str, Any] | None:
    """The tensor in which two weights files differ most, and by how much; None when all numbers are equal."""
    from safetensors.numpy import load_file  # only the worker needs it

    ours, theirs = load_file(recorded), load_file(found)
    largest: dict[str, Any] | None = None
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape:
            return {"tensor": name, "largest": None}
        apart = float(np.abs(ours[name].astype(np.float64) - theirs[name].astype(np.float64)).max(initial=0.0))
        if apart > (largest["largest"] if largest else 0.0):
            largest = {"tensor": name, "largest": apart}
    return largest
