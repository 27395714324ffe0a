"""`maas serve`: the API processes and, unless told otherwise, a worker, kept alive until the end."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TextIO

import uvicorn

from app import database
from app.accounts.bootstrap import KEY_FILE, ensure_admin_key
from app.main import create_app
from app.settings import Settings, SettingsError
from app.web.express import express_protocol
from app.web.protocol import LimitedProtocol, protocol_class

log = logging.getLogger("maas")
GRACEFUL_SECONDS = 5
RESTART_SECONDS = 1.0


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises: SettingsError when the data folder is in use or the port is taken."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(settings.data_dir)
    engine = database.connect(settings.url)
    database.migrate(engine)
    key = ensure_admin_key(database.sessions(engine), settings.data_dir)
    engine.dispose()
    listener = _listen(settings)
    _announce(settings, listener, key)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more when it has shut down; the default would end us before the worker has.
        signal.signal(number, lambda *_: sys.exit(0))
    stop = threading.Event()
    watchers = [_keep_alive(settings, ["worker", "--embedded"], stop)] if settings.embedded_worker else []
    try:
        if settings.workers == 1:
            serve_api(settings, listener)
        else:
            _serve_many(settings, listener, stop)
    finally:
        stop.set()
        for watcher in watchers:
            watcher.join()
        lock.close()


def serve_api(settings: Settings, listener: socket.socket) -> None:
    """Serve the API in this process on a socket that listens already."""
    app = create_app(settings)
    # What exists by now stays: the garbage collector need not look at it again and again.
    gc.freeze()
    protocol = (
        express_protocol(app.state.express, settings) if settings.express else protocol_class(LimitedProtocol, settings)
    )
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    _Server(config, leaving=app.state.leaving).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, which tells event streams to end when it is told to stop."""

    def __init__(self, config: uvicorn.Config, *, leaving: threading.Event) -> None:
        super().__init__(config)
        self._leaving = leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._leaving.set()
        super().handle_exit(sig, frame)


def _serve_many(settings: Settings, listener: socket.socket, stop: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    command = ["serve", "--listener", str(listener.fileno())]
    watchers = [_keep_alive(settings, command, stop, listener) for _ in range(settings.workers)]
    stop.wait()
    for watcher in watchers:
        watcher.join()


def _keep_alive(
    settings: Settings, command: list[str], stop: threading.Event, listener: socket.socket | None = None
) -> threading.Thread:
    """Run a command of ours beside this process, again whenever it dies; it ends with this process."""

    def start() -> subprocess.Popen[bytes]:
        # The child reads from the pipe: it ends when this process does, however that ends. With -P the folder that we
        # were started in, which may hold an `app` of its own, is not where it looks for modules.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "app.cli", *command],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()] if listener else [],
            env=os.environ | _as_environment(settings),
        )

    thread = threading.Thread(target=_watch, args=(start, stop), name=command[0])
    thread.start()
    return thread


def _watch(start: Callable[[], subprocess.Popen[bytes]], stop: threading.Event) -> None:
    while not stop.is_set():
        process, started = start(), time.monotonic()
        while process.poll() is None and not stop.wait(0.1):
            pass
        if stop.is_set():
            process.terminate()
            process.wait()
            return
        log.error("a child process ended with status %s; starting it again", process.returncode)
        stop.wait(max(0.0, RESTART_SECONDS - (time.monotonic() - started)))


def _as_environment(settings: Settings) -> dict[str, str]:
    given = settings.model_dump(exclude_none=True)
    given["data_dir"] = settings.data_dir.absolute()
    return {f"MAAS_{name.upper()}": str(value) for name, value in given.items()}


def _lock(data_dir: Path) -> TextIO:
    file = (data_dir / "server.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(f"another server is using the data folder {data_dir}") from None
    return file


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise SettingsError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from None
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def _announce(settings: Settings, listener: socket.socket, key: str | None) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    sys.stdout.write(f"maas listens on http://{host}:{listener.getsockname()[1]}\n")
    if key is not None:
        # Shown once, and only to a person: logs keep what a terminal forgets.
        where = settings.data_dir / KEY_FILE
        sys.stdout.write(f"first admin key: {key}\n" if sys.stdout.isatty() else f"first admin key: in {where}\n")
    sys.stdout.flush()
