"""Real processes for the tests: `maas serve`, its worker and its children, started, killed, started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx2 as httpx
import psutil

Value = TypeVar("Value")
START_SECONDS = 60.0
ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-P", "-m", "app.cli"]


class Server:
    """One `maas serve` in a folder; it can be killed and started again on the same folder and port."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, poll_seconds: float = 0.05, working_folder: Path = ROOT) -> Server:
        """Start it, with options of `maas serve`, and wait until it answers."""
        self.http = httpx.Client(base_url=self.url, timeout=90)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAAS_")}
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", str(self.port), "--data-dir", str(self.folder), *options],
                env=environment | {"PYTHONPATH": str(ROOT)} | self.environment,
                cwd=working_folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            eventually(self._is_ready, seconds=START_SECONDS, poll_seconds=poll_seconds)
        except BaseException:
            self.end()
            raise
        self.http.headers["authorization"] = f"Bearer {self.key}"
        return self

    def end(self) -> None:
        """Stop it as an operator would, and leave nothing behind."""
        if self.process is None:
            return
        self.http.close()
        tree = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            for process in tree:
                kill(process)
            self.process.wait(30)
        self.process = None

    def kill(self) -> None:
        """Kill the API process without warning."""
        assert self.process is not None
        self.http.close()
        self.process.kill()
        self.process.wait()

    @property
    def key(self) -> str:
        """The first admin key."""
        return (self.folder / "admin.key").read_text().strip()

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A second worker on the same database and folder."""
        return subprocess.Popen(
            [*COMMAND, "worker", "--data-dir", str(self.folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def processes(self) -> list[psutil.Process]:
        """The server and all that it started."""
        assert self.process is not None
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def worker(self) -> psutil.Process:
        """The embedded worker's process."""
        return eventually(lambda: self._find("worker"), seconds=30)

    def launcher(self) -> psutil.Process:
        """The process that training children are forked from."""
        return eventually(lambda: self._find("app.jobs.executors.launcher"), seconds=30)

    def child(self) -> psutil.Process:
        """A training child."""
        return eventually(lambda: next(iter(self.launcher().children()), None), seconds=30)

    def _find(self, word: str) -> psutil.Process | None:
        found = [process for process in self.processes() if word in command_of(process)]
        return min(found, key=lambda process: process.create_time()) if found else None

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "serve.log").read_text())
        try:
            return self.http.get("/readyz").status_code == 200 and (self.folder / "admin.key").exists()
        except httpx.TransportError:
            return False

    def story(self, job_id: str) -> str:
        """What happened to a job, for the message of a failed assertion."""
        events = self.http.get(f"/v1/jobs/{job_id}/events?limit=1000").json()["data"]
        logs = self.http.get(f"/v1/jobs/{job_id}/logs?limit=1000").json()["data"]
        return "\n".join(
            [str(self.job(job_id)["error"]), *(each["message"] for each in events), *(each["text"] for each in logs)]
        )

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        answer: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return answer


def eventually(look: Callable[[], Value | None], *, seconds: float = 20.0, poll_seconds: float = 0.05) -> Value:
    """The first true value that `look` gives within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(poll_seconds)
    raise AssertionError(f"nothing within {seconds} seconds")


def kill(process: psutil.Process) -> None:
    """Kill a process that may have gone already."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command_of(process: psutil.Process) -> list[str]:
    """The command line of a process, empty when it has gone."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
