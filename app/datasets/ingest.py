"""Turn an uploaded file into a typed, described Parquet table, in a sandboxed child process.

This side of the fence never looks at the bytes: it starts the child, holds it to its limits and translates
however it ends into an answer for the client.
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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import app
from app.datasets.formats import sniff_format
from app.datasets.limits import IngestLimits, invalid
from app.errors import Invalid, MaasError, StorageFull, TooLarge, Unavailable
from app.sandbox import Mode

__all__ = ["IngestLimits", "Ingested", "ingest", "sniff_format"]

log = logging.getLogger(__name__)

CHILD = ("-P", "-m", "app.datasets.parsing")
PARQUET = "data.parquet"
# What an answer has, and what each part must be.
ANSWER = {"num_rows": int, "columns": list, "profile": dict, "details": dict, "sandbox": list}
FORMATS = ("csv", "tsv", "ndjson", "json", "parquet")
MAX_ANSWER_BYTES = 64 * 2**20
MAX_LOGGED_BYTES = 4096
READ_BYTES = 2**16
EXIT_SECONDS = 5.0


@dataclass(frozen=True)
class Ingested:
    """A table as it was understood: where it lies, how large it is, and what is in each column."""

    parquet: Path
    num_rows: int
    columns: list[dict[str, Any]]
    profile: dict[str, Any]
    details: dict[str, Any]
    sandbox: list[str]


def ingest(
    source: Path,
    *,
    format: str,
    folder: Path,
    limits: IngestLimits,
    sandbox: Mode = "best-effort",
    types: Mapping[str, str] | None = None,
) -> Ingested:
    """Read `source` and leave `data.parquet` in `folder`; blocks until the child has ended.

    `types` fixes the types of some columns by name. Raises Invalid (code "dataset-invalid") for content that
    is not such a table, TooLarge over a limit, StorageFull without space, Unavailable without a required
    sandbox. Nothing is left in the folder then.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, not {format!r}")
    with tempfile.TemporaryDirectory(prefix="parsing-", dir=folder) as working:
        request = {
            "source": str(source.resolve()),
            "format": format,
            "folder": str(Path(working).resolve()),
            "limits": asdict(limits),
            "sandbox": sandbox,
            "types": dict(types or {}),
            "parent_pid": os.getpid(),
        }
        answer = _answer_of_child(request, limits)
        written = Path(working) / PARQUET
        # A link would make us read, with our rights, whatever the child named.
        if not stat.S_ISREG(written.lstat().st_mode):
            raise invalid(f"The file cannot be read as {format}.")
        parquet = folder / PARQUET
        os.replace(written, parquet)
    return Ingested(parquet=parquet, **answer)


def _answer_of_child(request: dict[str, Any], limits: IngestLimits) -> dict[str, Any]:
    """Run the child on one request; returns its answer or raises the refusal its end means."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(request).encode())
        stdin.seek(0)
        process = _start(stdin, Path(request["folder"]))
    output, errors = bytearray(), bytearray()
    returncode = None
    try:
        in_time = _listen(process, time.monotonic() + limits.wall_seconds, output, errors)
        if in_time and not output.endswith(b"\n") and len(output) <= MAX_ANSWER_BYTES:
            with contextlib.suppress(subprocess.TimeoutExpired):
                returncode = process.wait(timeout=EXIT_SECONDS)
    finally:
        # The whole group, and at once: an answer is complete, so nothing the child still does matters.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if errors:
        log.warning("The parsing child said: %s", errors.decode(errors="replace"))
    if not in_time:
        raise TooLarge(f"Reading the file took over {limits.wall_seconds:g} s, which is the limit.")
    if len(output) > MAX_ANSWER_BYTES:
        raise TooLarge(f"The description of the table is over {MAX_ANSWER_BYTES // 2**20} MiB.")
    if not output.endswith(b"\n"):
        raise _explained(returncode, request["format"], limits)
    return _translated(output, request["format"], limits)


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
            # Arenas reserved and never touched would count against the memory limit.
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        },
        start_new_session=True,
    )


def _listen(process: subprocess.Popen[bytes], deadline: float, output: bytearray, errors: bytearray) -> bool:
    """Collect a line of output and the tail of what is said on the side; False when time ran out first."""
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, output), (process.stderr, errors)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map() and not output.endswith(b"\n") and len(output) <= MAX_ANSWER_BYTES:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                chunk = os.read(key.fd, READ_BYTES)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            del errors[:-MAX_LOGGED_BYTES]
    return True


def _explained(returncode: int | None, file_format: str, limits: IngestLimits) -> MaasError:
    """The refusal for a child that ended without an answer."""
    if returncode == -signal.SIGXCPU:
        return TooLarge(f"Reading the file took over {limits.cpu_seconds} s of CPU time, which is the limit.")
    if returncode is not None and returncode < 0:
        return _out_of_memory(limits)
    log.error("The parsing child ended with status %s and no answer.", returncode)
    return invalid(f"The file cannot be read as {file_format}.")


def _translated(line: bytearray, file_format: str, limits: IngestLimits) -> dict[str, Any]:
    """The child's answer, or the refusal it asks for.

    The child has seen hostile bytes, so nothing it says is taken on trust: what is no known answer is none.
    """
    try:
        answer = json.loads(line)
        kind, detail = answer.get("error"), str(answer.get("detail"))
        if kind is None:
            return {name: kind_of(answer[name]) for name, kind_of in ANSWER.items()}
        errors = [dict(error) for error in answer.get("errors", ())]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        log.error("The parsing child gave an answer that is none.")
        raise invalid(f"The file cannot be read as {file_format}.") from None
    refusals: dict[str, MaasError] = {
        "memory": _out_of_memory(limits),
        "disk": StorageFull("There is no space left to read the file; nothing was stored."),
        "sandbox": Unavailable(detail, code="sandbox-unavailable"),
        "too-large": TooLarge(detail),
    }
    raise refusals.get(str(kind)) or Invalid(detail, code="dataset-invalid", errors=errors)


def _out_of_memory(limits: IngestLimits) -> Invalid:
    mebibytes = limits.memory_bytes // 2**20
    return invalid(f"Reading the file needs more than the limit of {mebibytes:,} MiB of memory.")
