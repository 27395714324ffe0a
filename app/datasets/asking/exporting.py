"""Write a stored table as CSV or JSON Lines: the same table gives the same bytes, always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.datasets.asking.exports import EXPORT
from app.datasets.asking.stored import StoredTable, connect_to, open_stored
from app.datasets.engine import identifier, literal
from app.datasets.limits import IngestLimits
from app.datasets.progress import Progress

TEXTS = frozenset({"category", "text", "identifier"})
# What spreadsheets take for a formula, by its first character.
FORMULA = "=+-@\t\r"
OPTIONS = {
    "csv": "FORMAT csv, HEADER true, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR ''",
    "ndjson": "FORMAT json, ARRAY false",
}


def export(
    arguments: dict[str, Any], inputs: dict[str, Path], limits: IngestLimits, progress: Progress
) -> dict[str, Any]:
    """The operation `export`: the table `stored` in a format, as ./export."""
    connection = connect_to(inputs, limits)
    progress.phase("exporting", connection)
    table = open_stored(connection, "stored", arguments["columns"])
    write = {"csv": _csv, "ndjson": _json_lines}[arguments["format"]]
    selected, options = write(table, formula_safe=arguments["formula_safe"])
    # The engine keeps the order of rows without being asked; to ask would be to sort.
    connection.execute(f"COPY (SELECT {selected} FROM {table.view}) TO {literal(EXPORT)} ({options})")
    return {}


def _csv(table: StoredTable, *, formula_safe: bool) -> tuple[str, str]:
    """Text is always quoted, so that an empty one is told from a missing cell."""
    names = _safe_names(list(table.cells)) if formula_safe else {name: name for name in table.cells}
    cells = {name: _cell(table, name) for name in names}
    texts = [name for name in names if table.types[name] in TEXTS]
    if formula_safe:
        cells |= {name: _safe_cell(cells[name]) for name in texts}
    if len(cells) == 1:
        # A line with nothing in it is no row for most readers; an empty text is written as a pair of quotes.
        cells = {name: f"coalesce(({cell})::VARCHAR, '')" for name, cell in cells.items()}
    quoted = ", ".join(identifier(names[name]) for name in texts)
    selected = ", ".join(f"{cell} AS {identifier(names[name])}" for name, cell in cells.items())
    return selected, OPTIONS["csv"] + (f", FORCE_QUOTE ({quoted})" if quoted else "")


def _json_lines(table: StoredTable, *, formula_safe: bool) -> tuple[str, str]:
    """No program takes a member of JSON for a formula."""
    return ", ".join(f"{_cell(table, name)} AS {identifier(name)}" for name in table.cells), OPTIONS["ndjson"]


def _safe_names(names: list[str]) -> dict[str, str]:
    """What each column is called in the file: still unique, when case is ignored, with the apostrophes."""
    taken = {name.lower() for name in names}
    safe = {}
    for name in names:
        chosen = name
        while chosen.startswith(tuple(FORMULA)) or (chosen != name and chosen.lower() in taken):
            chosen = "'" + chosen
        taken.add(chosen.lower())
        safe[name] = chosen
    return safe


def _safe_cell(cell: str) -> str:
    """SQL that puts an apostrophe before what a spreadsheet would run."""
    starts = " OR ".join(f"starts_with({cell}, {literal(character)})" for character in FORMULA)
    return f"CASE WHEN {starts} THEN '''' || {cell} ELSE {cell} END"


def _cell(table: StoredTable, name: str) -> str:
    cell = table.cells[name]
    return _moment(cell) if table.types[name] == "datetime" else cell


def _moment(cell: str) -> str:
    """SQL for a moment as RFC 3339 in UTC, with fractions of a second only where it has some."""
    utc = f"({cell} AT TIME ZONE 'UTC')"
    fraction = f"CASE WHEN epoch_us({cell}) % 1000000 = 0 THEN '' ELSE strftime({utc}, '.%f') END"
    return f"strftime({utc}, '%Y-%m-%dT%H:%M:%S') || {fraction} || 'Z'"
