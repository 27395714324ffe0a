"""The sandboxed child that works on one table: confined before it reads a byte, it answers in JSON lines.

Started by `process` as a program of its own: one JSON request on standard input; lines that tell its progress and
one line with the answer on standard output. Only expected refusals are answers; any other end is for the parent to
explain.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from app import sandbox
from app.datasets.asking import comparing, exporting, leaks, querying
from app.datasets.changing import anonymity, appending, gathering, transforming
from app.datasets.engine import refusing_content
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress
from app.datasets.reading import parsing, plain_values
from app.errors import Invalid, TooLarge, UnsupportedMedia

Inputs = dict[str, Path]
Operation = Callable[[dict[str, Any], Inputs, IngestLimits, Progress], dict[str, Any]]
# The niceness of work on tables: predictions and training go first.
NICENESS = 10

OPERATIONS: dict[str, Operation] = {
    "read": parsing.read,
    "decode": plain_values.decode,
    "rows": querying.find_rows,
    "export": exporting.export,
    "append": appending.append,
    "transform": transforming.transform,
    "erase": transforming.erase,
    "gather": gathering.gather,
    "anonymity": anonymity.anonymity,
    "diff": comparing.compare,
    "leaks": leaks.find_leaks,
}


def main() -> None:
    """Read the request, give up all rights but those it needs, and answer."""
    request = json.load(sys.stdin)
    sandbox.die_with_parent(request["parent_pid"])
    os.nice(NICENESS)
    os.chdir(request["folder"])
    json.dump(answer(request), sys.stdout, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()
    # What the interpreter tidies up at its end takes time, and nobody needs it.
    os._exit(0)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for; what is refused is told, not raised."""
    limits = IngestLimits(**request["limits"])
    inputs = {name: Path(path) for name, path in request["inputs"].items()}
    try:
        layers = sandbox.confine(
            read=list(inputs.values()),
            write=[Path(request["folder"])],
            memory_bytes=limits.memory_bytes,
            file_size_bytes=limits.decoded_bytes,
            cpu_seconds=limits.cpu_seconds,
            mode=request["sandbox"],
        )
        operate = OPERATIONS[request["operation"]]
        with Progress(sys.stdout) as progress, refusing_content(request["failure"]):
            found = operate(request["arguments"], inputs, limits, progress)
        return {"answer": found | {"sandbox": layers}}
    except sandbox.SandboxUnavailable as fault:
        return {"error": "sandbox", "detail": str(fault)}
    except TooLarge as fault:
        return {"error": "too-large", "detail": fault.detail}
    except UnsupportedMedia as fault:
        return {"error": "unsupported", "detail": fault.detail}
    except Invalid as fault:
        return {"error": "invalid", "detail": fault.detail, "errors": fault.errors}
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"error": "memory", "detail": ""}
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            return {"error": "disk", "detail": ""}
        if fault.errno == errno.EFBIG:
            return {"error": "too-large", "detail": f"The table is over {limits.decoded_bytes:,} bytes."}
        raise


if __name__ == "__main__":
    main()
