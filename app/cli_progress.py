"""A running job as people watch it: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from app.cli_command import INTERRUPTED, CommandFailed
from app.cli_output import console, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from app.client import Client

SECONDS_BETWEEN_LINES = 2.0


class Display(Protocol):
    """Shows what a job reports."""

    def progress(self, data: dict[str, Any]) -> None:
        """Show how far it is."""

    def say(self, line: str) -> None:
        """Show what happened."""


def watch(client: "Client", thing_id: str, *, kind: str = "jobs") -> dict[str, Any]:
    """Show a job or a study until it ends, and return it; Ctrl-C leaves it alone.

    Raises: Detached when the user has seen enough; ClientError, Unreachable.
    """
    try:
        with display() as shown:
            for event in client.events(thing_id, kind=kind):
                if event.name == "progress":
                    shown.progress(event.data)
                elif event.name not in ("metrics", "done"):
                    shown.say(event.data["message"])
    except KeyboardInterrupt:
        raise Detached(thing_id, kind) from None
    ended: dict[str, Any] = client.get(f"/v1/{kind}/{thing_id}")
    return ended


class Detached(CommandFailed):
    """The user stopped watching; the work goes on."""

    exit_code = INTERRUPTED

    def __init__(self, thing_id: str, kind: str) -> None:
        super().__init__(f"stopped watching; it goes on. Watch it again: maas {kind} watch {thing_id}")


@contextmanager
def display() -> "Iterator[Display]":
    """What fits standard error: a bar, or lines."""
    drawn = console(stderr=True)
    if not drawn.is_terminal:
        yield Lines(drawn)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[phase]}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[left]}"),
        console=drawn,
        transient=True,
    ) as progress:
        yield Bar(progress)


def describe(data: dict[str, Any]) -> str:
    """Epoch or trials, losses and pace in one line; what is not known yet is left out."""
    parts = [f"epoch {data['epoch']}/{data['num_epochs']}"] if "epoch" in data else []
    if "num_ended" in data:
        parts.append(f"trial {data['num_ended']}/{data['num_trials']}")
    for name, label in (("train_loss", "loss"), ("validation_loss", "validation loss")):
        if data.get(name) is not None:
            parts.append(f"{label} {data[name]:.4f}")
    if data.get("best_epoch"):
        parts.append(f"best epoch {data['best_epoch']}")
    if data.get("rows_per_second"):
        parts.append(f"{data['rows_per_second']:,.0f} rows/s")
    return ", ".join(parts)


def remaining(data: dict[str, Any]) -> str:
    """The time left, as far as it is known."""
    certain, most = data.get("seconds_remaining"), data.get("seconds_remaining_at_most")
    seconds = most if certain is None else certain
    if seconds is None:
        return ""
    return f"{'at most ' if certain is None else ''}{int(seconds) // 60}:{int(seconds) % 60:02} left"


class Bar:
    """One bar that is redrawn, with what happened above it."""

    def __init__(self, drawn: "Progress") -> None:
        self._progress = drawn
        self._task = drawn.add_task("", total=1.0, phase="queued", left="")

    def progress(self, data: dict[str, Any]) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            completed=data.get("fraction") or 0.0,
            description=describe(data),
            phase=data.get("phase") or "",
            left=remaining(data),
        )

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(printable(line), markup=False, style="dim")


class Lines:
    """Plain lines, progress at most every few seconds: for logs."""

    def __init__(self, drawn: "Console") -> None:
        self._console = drawn
        self._next = 0.0

    def progress(self, data: dict[str, Any]) -> None:
        """Print a line, unless there was one just now."""
        line = ", ".join(filter(None, (describe(data), remaining(data))))
        if line and time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(printable(line), markup=False)
