"""Put tables with the same columns one after another into a version: the answers of a batch prediction, block by block.

The blocks were written by a child of our own as Parquet; here they become one typed, profiled table in the engine,
which streams them: the same blocks give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.datasets.asking.stored import connect_to
from app.datasets.changing.step_text import text_of
from app.datasets.engine import literal
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress
from app.datasets.reading.casts import STRINGS, stored_type
from app.datasets.reading.parsing import store
from app.datasets.reading.source import Column, Source


def gather(
    arguments: Mapping[str, Any], inputs: Mapping[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `gather`: the rows of all inputs, in the order in which they are given.

    `columns` have names, types and, where they stood in another version before, the policies they had there.
    """
    entries = arguments["columns"]
    connection = connect_to(inputs, limits)
    progress.phase("writing", connection)
    cells = ", ".join(f"c{i}" for i in range(len(entries)))
    files = ", ".join(literal(f"{name}.parquet") for name in inputs)
    relation = f"(SELECT {cells} FROM read_parquet([{files}]) AS blocks({cells}))"
    columns = [_column(f"c{i}", entry["name"], entry["type"]) for i, entry in enumerate(entries)]
    strings = {entry["name"]: entry["type"] for entry in entries if entry["type"] in STRINGS}
    answer = store(connection, Source(relation, columns, {}), strings, limits, progress)
    for told, entry in zip(answer["columns"], entries, strict=True):
        told["policies"] |= entry.get("policies", {})
    return answer


def _column(cell: str, name: str, kind: str) -> Column:
    # Probabilities come in the precision in which the network gave them.
    value = f"{cell}::DOUBLE" if kind == "real" else cell
    return Column(name, text_of(cell, kind), stored=stored_type(kind), value=value)
