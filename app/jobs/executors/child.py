"""A training child: confined to its attempt's folder, it trains and reports JSON lines; it never sees the database."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, NoReturn

from app import sandbox
from app.learning.memory import private_bytes

REQUEST_FILE = "request.json"
EXIT_BUG = 70
EXIT_FULL_DISK = 75


def preload() -> None:
    """Import, before any fork, all that a child needs."""
    from app.learning import train
    from app.learning.estimating import estimate  # noqa: F401

    train.preload()
    _keep_arrow_from_pandas()


def _keep_arrow_from_pandas() -> None:
    """Have Arrow find no pandas: where one is installed, every child would import it, which takes longer than loading.

    Arrow looks once a process. Specs of other packages may import pandas themselves; tables of Arrow cannot become its
    frames then, but no spec is shown any.
    """
    import pyarrow

    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        pyarrow.array([""])
    finally:
        sys.meta_path.remove(absent)


class _Absent(MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def main(folder: Path, *, control_fd: int, report_fd: int, log_fd: int, launcher_pid: int) -> NoReturn:
    """Run the request that lies in `folder`, then leave without running the parent's exit handlers."""
    code = EXIT_BUG
    try:
        os.setsid()
        sandbox.die_with_parent(launcher_pid)
        _redirect(log_fd)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _run(folder, Control(control_fd), Report(report_fd))
        code = 0
    except BaseException as fault:
        traceback.print_exc()
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
            code = EXIT_FULL_DISK
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Control:
    """What the worker asks for: an order a line; the end of the pipe means that the worker has gone."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._rest = b""

    def __call__(self) -> str | None:
        """The next order, if one has come."""
        try:
            received = os.read(self._fd, 4096)
        except BlockingIOError:
            received = None
        if received == b"":
            os._exit(0)
        self._rest += received or b""
        word, newline, rest = self._rest.partition(b"\n")
        if not newline:
            return None
        self._rest = rest
        return word.decode()


class Report:
    """What the child says: one JSON object a line."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "wb", buffering=0)

    def __call__(self, message: dict[str, Any]) -> None:
        """Send a message; waits while the worker is behind."""
        line = memoryview(json.dumps(message, allow_nan=False).encode() + b"\n")
        while line:
            line = line[self._file.write(line) or 0 :]


def _run(folder: Path, control: Control, report: Report) -> None:
    from app.learning import batch, evaluating, specs, train
    from app.learning.estimating import estimate

    # Whoever asked for the folder of temporary files before the fork has stored the answer.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.chdir(folder)
    envelope: dict[str, Any] = json.loads((folder / REQUEST_FILE).read_bytes())
    limits = envelope["limits"]
    layers = sandbox.confine(
        # Networks import what they are built with when they are built, wherever their packages are installed.
        read=[*map(Path, envelope["readable"]), *sandbox.library_folders(hidden=folder), *specs.folders()],
        write=[folder],
        # What it begins with are the libraries, in pages that it shares with the launcher: they are nobody's doing.
        memory_bytes=limits["memory_bytes"] + private_bytes(),
        file_size_bytes=limits["file_size_bytes"],
        compiles=envelope["compiles"],
        mode=envelope["sandbox"],
    )
    report({"type": "sandbox", "layers": layers})
    work = {"train": train.run, "evaluate": evaluating.run, "estimate": estimate.run, "predict": batch.run}[
        envelope["work"]
    ]
    work(envelope["request"], folder=folder, emit=report, control=control)


def _redirect(log_fd: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
