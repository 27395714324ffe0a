"""Attempts as child processes of this machine, forked from a launcher that has torch in memory."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.jobs.executors.launcher import MAX_MESSAGE_BYTES

START_TIMEOUT_SECONDS = 120.0


class LauncherDied(Exception):
    """The launcher ended; children it had are dead too."""


@dataclass
class Child:
    """A running attempt: read JSON lines from `report_fd` and text from `log_fd`, write words to `control_fd`."""

    control_fd: int
    report_fd: int
    log_fd: int
    pid: int = 0
    status: int | None = None
    started: threading.Event = field(default_factory=threading.Event)
    exited: threading.Event = field(default_factory=threading.Event)

    def ask(self, word: str) -> None:
        """Send `pause`, `cancel`, `finish`, or `limit` with the wall-clock seconds of all attempts together."""
        try:
            os.write(self.control_fd, word.encode() + b"\n")
        except BrokenPipeError:
            return  # it has ended; its exit says the rest

    def kill(self) -> None:
        """End the child and everything it started."""
        if self.exited.is_set():
            return
        for end in (os.killpg, os.kill):
            try:
                end(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def close(self) -> None:
        """Release the descriptors."""
        for fd in (self.control_fd, self.report_fd, self.log_fd):
            os.close(fd)


class Launcher:
    """Starts children; starts its own process again when that has died."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._starting: dict[str, Child] = {}
        self._running: dict[int, Child] = {}
        self.ready = threading.Event()

    def warm_up(self) -> None:
        """Start the launcher now, so that the first job does not wait for torch."""
        with self._lock:
            self._open()

    def start(self, folder: Path) -> Child:
        """Fork a child for the request in `folder`.

        Raises: LauncherDied when no child could be started; trying again starts a new launcher.
        """
        control_read, control_write = os.pipe()
        report_read, report_write = os.pipe()
        log_read, log_write = os.pipe()
        child, token = Child(control_write, report_read, log_read), secrets.token_hex(8)
        theirs = [control_read, report_write, log_write]
        try:
            with self._lock:
                self._starting[token] = child
                message = json.dumps({"token": token, "folder": str(folder)}).encode()
                socket.send_fds(self._open(), [message], theirs)
            child.started.wait(START_TIMEOUT_SECONDS)
        except OSError:
            self._starting.pop(token, None)
        finally:
            for fd in theirs:
                os.close(fd)
        if not child.pid:
            child.close()
            raise LauncherDied("the process that starts training children died")
        return child

    def close(self) -> None:
        """End the launcher and its children."""
        with self._lock:
            if self._connection is not None:
                # Closing alone would not wake the thread that reads from it.
                self._connection.shutdown(socket.SHUT_RDWR)
            if self._process is not None:
                self._process.wait()

    def _open(self) -> socket.socket:
        if self._connection is not None:
            return self._connection
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._log_path.open("ab") as log, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.jobs.executors.launcher", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                env=clean_environment(),
            )
        self._connection = ours
        threading.Thread(target=self._listen, args=(ours, self._process), name="launcher", daemon=True).start()
        return ours

    def _listen(self, connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
        while content := _receive(connection):
            self._hear(json.loads(content))
        process.wait()
        with self._lock:
            self._connection = None
            self.ready.clear()
            connection.close()
        for child in [*self._running.values(), *self._starting.values()]:
            child.status = -signal.SIGKILL
            child.started.set()
            child.exited.set()
        self._running.clear()
        self._starting.clear()

    def _hear(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready.set()
        if "started" in message:
            child = self._starting.pop(message["token"])
            child.pid = message["started"]
            self._running[child.pid] = child
            child.started.set()
        if "exited" in message:
            child = self._running.pop(message["exited"])
            child.status = message["status"]
            child.exited.set()


def clean_environment() -> dict[str, str]:
    """What children see of the environment: no secrets, one thread per library unless they say otherwise."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TZ", "HOME")}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Arrow's own allocators reserve address space that would count against a child's memory limit.
    single["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    return {**kept, **single, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(MAX_MESSAGE_BYTES)
    except OSError:
        return b""
