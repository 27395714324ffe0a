"""What the process of a running job uses, sampled once a heartbeat, told as it is now and as curves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.jobs.resources import Resources
from app.learning.curves import Curve, Point

# What makes curves, of the samples and of the progress that the process itself tells.
SAMPLED = ("cpu_share", "rss_bytes", "disk_bytes")
TOLD = ("rows_per_second", "steps_per_second", "gpu_memory_bytes")


class Usage:
    """Samples one process of a job; `last_position` is that of the last point that earlier attempts have made."""

    def __init__(self, pid: int, folder: Path, heartbeat_seconds: float, last_position: int) -> None:
        self.resources: dict[str, Any] = {}
        self._process = Resources(pid, folder)
        self._heartbeat_seconds = heartbeat_seconds
        self._next = time.monotonic()
        self._curve = Curve()
        self._last_position = last_position
        self._at = {"step": 0, "epoch": 0.0, "seconds": 0.0}

    def is_due(self) -> bool:
        """Whether a heartbeat has passed since the last sample."""
        return time.monotonic() >= self._next

    def sample(self, seconds: float, progress: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Look at the process, `seconds` after the start of its job; answers the points that this completes."""
        self._next = time.monotonic() + self._heartbeat_seconds
        found = self._process.sample()
        if found is None:
            return []
        self.resources = found
        step = progress.get("step") or 0
        share = (progress.get("num_epochs") or 0) / (progress.get("num_steps") or 1)
        self._at = {"step": step, "epoch": step * share, "seconds": seconds}
        values = {name: found[name] for name in SAMPLED} | {name: progress.get(name) for name in TOLD}
        known = {name: float(value) for name, value in values.items() if value is not None}
        return self._stored(self._curve.add(int(seconds / self._heartbeat_seconds) + 1, known))

    def rest(self) -> list[dict[str, Any]]:
        """The point in the making: no sample follows."""
        return self._stored(self._curve.rest())

    def _stored(self, point: Point | None) -> list[dict[str, Any]]:
        if point is None:
            return []
        # Milliseconds order samples over all attempts, of which a later one may count from an earlier moment.
        self._last_position = max(self._last_position + 1, int(self._at["seconds"] * 1000))
        shape = {"kind": "sample", "position": self._last_position, **self._at}
        return [{**shape, "values": point.values, "low": point.low, "high": point.high}]
