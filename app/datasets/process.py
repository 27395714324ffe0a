"""One piece of work on a table in a sandboxed child process: started, watched, held to its limits, answered for.

This side of the fence never looks at the bytes: it starts the child, holds it to its limits and translates
however it ends into an answer for the client. The child says how far it is in JSON lines; the last line is its
answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import app
from app.datasets.limits import IngestLimits, invalid
from app.errors import Invalid, MaasError, StorageFull, TooLarge, Unavailable, UnsupportedMedia
from app.sandbox import Mode

log = logging.getLogger(__name__)

CHILD = ("-P", "-m", "app.datasets.child")
MAX_ANSWER_BYTES = 64 * 2**20
MAX_LOGGED_BYTES = 4096
READ_BYTES = 2**16
EXIT_SECONDS = 5.0
WATCH_SECONDS = 0.5

Report = dict[str, Any]
# Called with every report of progress, and with None now and then; what it raises ends the child.
Watch = Callable[[Report | None], None]


@dataclass(frozen=True)
class Work:
    """What a child shall do: an operation of child.py, its arguments, the files it reads, and those it must leave.

    `failure` is what to say when the child dies of its input.
    """

    operation: str
    arguments: Mapping[str, Any]
    inputs: Mapping[str, Path]
    outputs: Sequence[str] = ()
    failure: str = "The table cannot be read."


def run(
    work: Work, *, folder: Path, limits: IngestLimits, sandbox: Mode = "best-effort", watch: Watch | None = None
) -> dict[str, Any]:
    """Do the work and answer what the child says; its outputs lie in `folder` then.

    Raises Invalid (code "dataset-invalid") for content that cannot be read, UnsupportedMedia for formats that
    are not read, TooLarge over a limit, StorageFull without space, Unavailable without a required sandbox, and
    what `watch` raises. Nothing is left in the folder then.
    """
    with tempfile.TemporaryDirectory(prefix="working-", dir=folder) as working:
        request = {
            "operation": work.operation,
            "arguments": dict(work.arguments),
            "inputs": {name: str(path.resolve()) for name, path in work.inputs.items()},
            "folder": str(Path(working).resolve()),
            "limits": asdict(limits),
            "failure": work.failure,
            "sandbox": sandbox,
            "parent_pid": os.getpid(),
        }
        answer = _Conversation(request, limits, watch or _ignore).answer(work.failure)
        for name in work.outputs:
            _take(Path(working) / name, folder / name, work.failure)
    return answer


def _ignore(report: Report | None) -> None:
    """Nobody watches."""


def _take(written: Path, target: Path, failure: str) -> None:
    # A link would make us read, with our rights, whatever the child named.
    try:
        is_file = stat.S_ISREG(written.lstat().st_mode)
    except FileNotFoundError:
        is_file = False
    if not is_file:
        raise invalid(failure)
    os.replace(written, target)


class _Conversation:
    """One child from its start to its end: its lines as they come, and the tail of what it says on the side."""

    def __init__(self, request: dict[str, Any], limits: IngestLimits, watch: Watch) -> None:
        self._limits, self._watch = limits, watch
        self._deadline = time.monotonic() + limits.wall_seconds
        self._output, self._errors = bytearray(), bytearray()
        self._line: bytes | None = None
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(request).encode())
            stdin.seek(0)
            self._process = _start(stdin, Path(request["folder"]))

    def answer(self, failure: str) -> dict[str, Any]:
        """The child's answer. Raises: the refusal that its end means."""
        returncode = None
        try:
            in_time = self._listen()
            if in_time and self._line is None and len(self._output) <= MAX_ANSWER_BYTES:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    returncode = self._process.wait(timeout=EXIT_SECONDS)
        finally:
            # The whole group, and at once: an answer is complete, so nothing the child still does matters.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        if self._errors:
            log.warning("The parsing child said: %s", self._errors.decode(errors="replace"))
        if not in_time:
            raise TooLarge(f"Reading the file took over {self._limits.wall_seconds:g} s, which is the limit.")
        if self._line is None:
            if len(self._output) > MAX_ANSWER_BYTES:
                raise TooLarge(f"The description of the table is over {MAX_ANSWER_BYTES // 2**20} MiB.")
            raise _explained(returncode, failure, self._limits)
        return _translated(self._line, failure, self._limits)

    def _listen(self) -> bool:
        """Hear the child out, up to its answer or its end; False when time ran out first."""
        with selectors.DefaultSelector() as selector:
            for stream, take in ((self._process.stdout, self._take_output), (self._process.stderr, self._take_error)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, take)
            while selector.get_map() and self._line is None and len(self._output) <= MAX_ANSWER_BYTES:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    return False
                ready = selector.select(min(left, WATCH_SECONDS))
                for key, _ in ready:
                    chunk = os.read(key.fd, READ_BYTES)
                    key.data(chunk)
                    if not chunk:
                        selector.unregister(key.fileobj)
                if not ready:
                    self._watch(None)
        return True

    def _take_output(self, chunk: bytes) -> None:
        self._output += chunk
        if b"\n" not in chunk:
            return
        *lines, rest = bytes(self._output).split(b"\n")
        self._output = bytearray(rest)
        for line in lines:
            report = _progress(line)
            if report is None:
                self._line = line
                return
            self._watch(report)

    def _take_error(self, chunk: bytes) -> None:
        self._errors += chunk
        del self._errors[:-MAX_LOGGED_BYTES]


def _start(stdin: IO[bytes], working: Path) -> subprocess.Popen[bytes]:
    """The child with nothing of ours: no environment, no descriptors, a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-s", "-P", *CHILD],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=working,
        env={
            "PYTHONPATH": str(Path(app.__file__).parent.parent),
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(working),
            # Memory that is reserved and not used counts against the limit: Arrow's arenas, what the engine's
            # allocator keeps after each query on a wide table.
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "DUCKDB_JE_MALLOC_CONF": "retain:false",
        },
        start_new_session=True,
    )


def _progress(line: bytes) -> Report | None:
    """What a line tells of the child's progress, in the two members that are shown; None when it is an answer."""
    if not line.startswith(b'{"progress":') or len(line) > READ_BYTES:
        return None
    try:
        said = json.loads(line)["progress"]
        fraction = said.get("fraction")
        return {"phase": str(said["phase"])[:32], "fraction": None if fraction is None else float(fraction)}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _explained(returncode: int | None, failure: str, limits: IngestLimits) -> MaasError:
    """The refusal for a child that ended without an answer."""
    if returncode == -signal.SIGXCPU:
        return TooLarge(f"Reading the file took over {limits.cpu_seconds} s of CPU time, which is the limit.")
    if returncode is not None and returncode < 0:
        return _out_of_memory(limits)
    log.error("The parsing child ended with status %s and no answer.", returncode)
    return invalid(failure)


def _translated(line: bytes, failure: str, limits: IngestLimits) -> dict[str, Any]:
    """The child's answer, or the refusal it asks for.

    The child has seen hostile bytes, so nothing it says is taken on trust: what is no known answer is none.
    """
    try:
        answer = json.loads(line)
        kind, detail = answer.get("error"), str(answer.get("detail"))
        if kind is None:
            return dict(answer["answer"])
        errors = [dict(error) for error in answer.get("errors", ())]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        log.error("The parsing child gave an answer that is none.")
        raise invalid(failure) from None
    refusals: dict[str, MaasError] = {
        "memory": _out_of_memory(limits),
        "disk": StorageFull("There is no space left to work on the table; nothing was stored."),
        "sandbox": Unavailable(detail, code="sandbox-unavailable"),
        "too-large": TooLarge(detail),
        "unsupported": UnsupportedMedia(detail),
    }
    raise refusals.get(str(kind)) or Invalid(detail, code="dataset-invalid", errors=errors)


def _out_of_memory(limits: IngestLimits) -> Invalid:
    mebibytes = limits.memory_bytes // 2**20
    return invalid(f"Reading the file needs more than the limit of {mebibytes:,} MiB of memory.")
