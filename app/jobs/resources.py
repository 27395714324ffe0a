"""What a process of a job uses, as the kernel counts it: processor, memory, bytes read and written, disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Resources:
    """Samples one process and the folder that it writes into."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._process = Path("/proc") / str(pid)
        self._folder = folder
        self._last: tuple[float, float] | None = None

    def sample(self) -> dict[str, Any] | None:
        """What the process uses now, or None when it has ended; `cpu_share` is that since the last sample."""
        try:
            memory = _fields(self._process / "status")
            cpu_seconds = _cpu_seconds(self._process / "stat")
        except (OSError, ValueError, IndexError):
            return None
        now = time.monotonic()
        share = None
        if self._last is not None and now > self._last[0]:
            share = (cpu_seconds - self._last[1]) / (now - self._last[0])
        self._last = now, cpu_seconds
        return {
            "cpu_seconds": cpu_seconds,
            "cpu_share": share,
            "rss_bytes": _kib(memory, "VmRSS"),
            "peak_rss_bytes": _kib(memory, "VmHWM"),
            **_transferred(self._process / "io"),
            "disk_bytes": _size_bytes(self._folder),
        }


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


def _kib(fields: dict[str, str], name: str) -> int | None:
    # A process that is ending has no memory any more.
    return int(fields[name].split()[0]) * 1024 if name in fields else None


def _cpu_seconds(path: Path) -> float:
    # The name of the program, in brackets, may hold anything; utime and stime stand 12 fields behind it.
    user, system = path.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS_PER_SECOND


def _transferred(path: Path) -> dict[str, int | None]:
    try:
        fields = _fields(path)
    except OSError:
        # Some containers hide it.
        fields = {}
    counts = {"read_bytes": "read_bytes", "written_bytes": "write_bytes"}
    return {name: int(fields[field]) if field in fields else None for name, field in counts.items()}


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
