"""How far a child is: its phase and, while the engine works on a query, the engine's own estimate."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import IO, Any, Self

import duckdb

SAMPLE_SECONDS = 0.5


class Progress:
    """Tells a stream, in JSON lines, of every new phase and twice a second of the engine's progress in it."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream
        self._phase = "starting"
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._sampler: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._sampler is not None:
            self._sampler.join()

    def phase(self, name: str, connection: duckdb.DuckDBPyConnection | None = None) -> None:
        """Begin a phase, in which this connection works, if any."""
        self._phase, self._connection = name, connection
        if self._stream is None:
            return
        if self._sampler is None:
            sampler = threading.Thread(target=self._sample, daemon=True)
            start(sampler)
            self._sampler = sampler
        self._tell(None)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            percent = self._connection.query_progress() if self._connection is not None else -1.0
            self._tell(percent / 100 if percent > 0 else None)

    def _tell(self, fraction: float | None) -> None:
        said: dict[str, Any] = {"phase": self._phase, "fraction": fraction}
        if self._stream is not None:
            with self._lock:
                self._stream.write(json.dumps({"progress": said}) + "\n")
                self._stream.flush()


def start(thread: threading.Thread) -> None:
    """Start a thread. Raises: MemoryError where the limit leaves no room for its stack; Python words it otherwise."""
    try:
        thread.start()
    except RuntimeError as fault:
        raise MemoryError(str(fault)) from fault
