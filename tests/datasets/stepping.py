"""Work on a small stored table in the test's own process: what the sandboxed child does, without its start."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from app.datasets.changing.steps import Step
from app.datasets.changing.transforming import transform
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress
from app.errors import Invalid
from tests.datasets import reading
from tests.datasets.reading import Table

STEPS: TypeAdapter[list[Any]] = TypeAdapter(list[Step])
SECRET = "00112233445566778899aabbccddeeff" * 2
Operation = Callable[[dict[str, Any], dict[str, Path], IngestLimits, Progress], dict[str, Any]]


def plain(*steps: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Steps of a request as they are recorded and handed to the child."""
    return [step.model_dump() for step in STEPS.validate_python([dict(step) for step in steps])]


def work(operation: Operation, parent: bytes, columns: list[dict[str, Any]], **arguments: Any) -> Any:
    """What an operation makes of a stored Parquet file; a table when it makes one, its answer otherwise."""
    inputs = {"parent": parent, "source": arguments.pop("source", b"")}
    with tempfile.TemporaryDirectory() as outside, tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        paths = {name: Path(outside, name) for name in inputs}
        for name, path in paths.items():
            path.write_bytes(inputs[name])
        answer = operation({"columns": columns, **arguments}, paths, IngestLimits(), Progress())
        stored = Path("data.parquet")
        if not stored.exists():
            return answer
        return reading.stored_table(answer, stored)


def transformed(csv: str, *steps: Mapping[str, Any], types: dict[str, str] | None = None, **arguments: Any) -> Table:
    """A CSV table after steps."""
    table = reading.read(csv, types=types)
    arguments = {"steps": plain(*steps), "secret": SECRET, **arguments}
    return work(transform, table.content, table.answer["columns"], **arguments)


def refused(*arguments: Any, **options: Any) -> Invalid:
    """The refusal of steps that must not be carried out."""
    try:
        table = transformed(*arguments, **options)
    except Invalid as fault:
        return fault
    raise AssertionError(f"was made: {table.rows[:3]}")
