"""A tiny training on made-up rows, through the same launcher, sandbox and export as a job: does it work here?"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

TRIAL_TIMEOUT_SECONDS = 60.0
MEMORY_BYTES = 2 << 30
FILE_SIZE_BYTES = 64 << 20
NUM_ROWS = 40


class TrialFailed(Exception):
    """The training did not come to its end; the message says what was seen of it."""


def run(folder: Path, *, sandbox: str) -> float:
    """Train in a child and return the seconds from the fork to the exported model. Raises: TrialFailed."""
    from app.jobs.executors.local import Launcher, LauncherDied

    work = folder / "attempt"
    work.mkdir()
    _write_request(work, sandbox)
    launcher = Launcher(folder / "launcher.log")
    try:
        launcher.warm_up()
        if not launcher.ready.wait(TRIAL_TIMEOUT_SECONDS):
            raise TrialFailed(f"the process that forks trainings did not start: {_tail(folder / 'launcher.log')}")
        started = time.monotonic()
        child = launcher.start(work)
        messages, log = _read(child.report_fd), _read(child.log_fd)
        child.exited.wait(TRIAL_TIMEOUT_SECONDS)
        child.close()
    except LauncherDied as error:
        raise TrialFailed(f"{error}: {_tail(folder / 'launcher.log')}") from None
    finally:
        launcher.close()
    _check(messages, log, child.status)
    return time.monotonic() - started


def _write_request(work: Path, sandbox: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from app.jobs.executors.child import REQUEST_FILE
    from app.learning.plan import plan

    data = work / "rows.parquet"
    pq.write_table(pa.table({"x": [float(n) for n in range(NUM_ROWS)], "y": [2.0 * n for n in range(NUM_ROWS)]}), data)
    columns: list[Any] = [{"name": "x", "type": "real"}, {"name": "y", "type": "real"}]
    resolved = plan(columns, "y", num_rows=NUM_ROWS, spec="linear", params={"epochs": 2})
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    dataset = {"path": str(data), "columns": columns, "num_rows": NUM_ROWS, "sha256": digest}
    envelope = {
        "request": resolved | {"dataset": dataset, "threads": 1},
        "work": "train",
        "compiles": False,
        "readable": [str(data)],
        "limits": {"memory_bytes": MEMORY_BYTES, "file_size_bytes": FILE_SIZE_BYTES},
        "sandbox": sandbox,
    }
    (work / REQUEST_FILE).write_text(json.dumps(envelope))


def _read(descriptor: int) -> list[str]:
    with os.fdopen(os.dup(descriptor)) as file:
        return file.read().splitlines()


def _check(messages: list[str], log: list[str], status: int | None) -> None:
    said = [json.loads(line) for line in messages]
    kinds = {message["type"] for message in said}
    if "result" in kinds and status == 0:
        return
    errors = [message["message"] for message in said if message["type"] == "error"]
    raise TrialFailed((errors or log or [f"it ended with status {status}"])[-1])


def _tail(path: Path) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"
