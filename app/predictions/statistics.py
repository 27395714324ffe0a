"""How many inferences each version has answered in this process, and where their time went."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any

STAGES = ("compute_input", "compute_infer", "compute_output")
MAX_VERSIONS = 4096
MAX_BATCH_SIZES = 64
Key = tuple[str, str, str]  # project, model, version


@dataclass
class Duration:
    """A number of events and the nanoseconds they took together."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Count one more."""
        self.count += 1
        self.ns += ns


@dataclass
class VersionStatistics:
    """What one version has done since this process started."""

    last_inference: int = 0
    num_rows: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    stages: dict[str, Duration] = field(default_factory=lambda: {stage: Duration() for stage in STAGES})
    batches: dict[int, dict[str, Duration]] = field(default_factory=dict)


class Statistics:
    """The figures of one API process; those of versions not called for the longest are forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: OrderedDict[Key, VersionStatistics] = OrderedDict()

    def succeeded(self, key: Key, *, num_rows: int, queue_ns: int, stages_ns: tuple[int, int, int]) -> None:
        """Count an inference that was answered."""
        with self._lock:
            found = self._open(key)
            found.last_inference = time.time_ns() // 10**6
            found.num_rows += num_rows
            found.success.add(queue_ns + sum(stages_ns))
            found.queue.add(queue_ns)
            counted = [found.stages]
            if num_rows in found.batches or len(found.batches) < MAX_BATCH_SIZES:
                counted.append(found.batches.setdefault(num_rows, {stage: Duration() for stage in STAGES}))
            for durations in counted:
                for stage, ns in zip(STAGES, stages_ns, strict=True):
                    durations[stage].add(ns)

    def failed(self, key: Key, ns: int) -> None:
        """Count an inference that was refused because of its rows."""
        with self._lock:
            self._open(key).fail.add(ns)

    def read(self, project_id: str, model: str | None = None, version: str | None = None) -> list[dict[str, Any]]:
        """The figures of a project, of one model, or of one version of it, as the protocol shows them."""
        with self._lock:
            return [
                _show(key, found)
                for key, found in self._versions.items()
                if key[0] == project_id and model in (None, key[1]) and version in (None, key[2])
            ]

    def _open(self, key: Key) -> VersionStatistics:
        found = self._versions.setdefault(key, VersionStatistics())
        self._versions.move_to_end(key)
        if len(self._versions) > MAX_VERSIONS:
            self._versions.popitem(last=False)
        return found


def nothing_yet(model: str, version: str) -> dict[str, Any]:
    """The figures of a version that was not called."""
    return _show(("", model, version), VersionStatistics())


def _show(key: Key, found: VersionStatistics) -> dict[str, Any]:
    _, model, version = key
    return {
        "name": model,
        "version": version,
        "last_inference": found.last_inference,
        "inference_count": found.num_rows,
        "execution_count": found.success.count,
        "inference_stats": {"success": asdict(found.success), "fail": asdict(found.fail), "queue": asdict(found.queue)}
        | {stage: asdict(duration) for stage, duration in found.stages.items()},
        "batch_stats": [
            {"batch_size": size} | {stage: asdict(duration) for stage, duration in durations.items()}
            for size, durations in sorted(found.batches.items())
        ],
    }
