"""Read one sheet of an Excel workbook: checked as an archive, read by calamine, handed on as cells of text.

Formulas are never computed: a cell has the value that was stored with it, or none.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import python_calamine

from app.datasets.engine import literal
from app.datasets.limits import IngestLimits, check_names, check_size, invalid, pointer, shown
from app.datasets.reading.archive import Contents, open_workbook
from app.datasets.reading.delimited import MISSING
from app.datasets.reading.parquet_copy import COPY, write_copy
from app.datasets.reading.source import ANY_CELL, PLAIN, Column, Dialect, Source

EXACT_INTEGERS = 2**53
MAX_SHOWN_SHEETS = 20
NUM_CELLS_AT_ONCE = 100_000
ABSENT = frozenset(("", *MISSING))

Cells = list[str | None]
Warnings = list[dict[str, str | None]]


def open_xlsx(
    connection: duckdb.DuckDBPyConnection, path: Path, limits: IngestLimits, dialect: Dialect = PLAIN
) -> Source:
    """One sheet of a workbook as a source; its first row that is not blank names the columns.

    Cells become text as CSV would hold them, and are inferred as strictly. Blank rows are left out. Raises
    UnsupportedMedia for other archives, Invalid for damaged workbooks and unknown sheets, TooLarge.
    """
    named = Path("workbook.xlsx")
    named.symlink_to(path)
    with open_workbook(path, limits) as contents:
        try:
            workbook = python_calamine.CalamineWorkbook.from_path(named)
            name, warnings = _chosen(workbook, dialect.sheet)
            sheet = workbook.get_sheet_by_name(name)
        except python_calamine.CalamineError:
            raise invalid("The file is damaged: it cannot be read as an Excel workbook.") from None
        warnings += [*_merged(sheet), *_untold(contents, name)]
    if sheet.start is None:
        raise invalid(f"The sheet {shown(name)} is empty.")
    check_size(limits, sheet.height, sheet.width)
    names = _copy(_rows(sheet), sheet.width, has_header=dialect.header)
    check_names(names, limits)
    columns = [Column(column, f"c{i}", ANY_CELL) for i, column in enumerate(names)]
    return Source(
        f"read_parquet({literal(str(COPY))})", columns, {"sheet": name, "has_header": dialect.header}, warnings
    )


def _chosen(workbook: python_calamine.CalamineWorkbook, wanted: str | None) -> tuple[str, Warnings]:
    """The name of the sheet to read: the wanted one, else the first that can be seen; and what is left out."""
    tables = [sheet for sheet in workbook.sheets_metadata if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in tables]
    visible = [sheet.name for sheet in tables if sheet.visible == python_calamine.SheetVisibleEnum.Visible]
    listed = ", ".join(shown(name) for name in names[:MAX_SHOWN_SHEETS])
    if not names:
        raise invalid("The workbook has no sheet with cells.")
    if wanted is not None and wanted not in names:
        raise invalid(f"There is no sheet {shown(wanted)}; there are {listed}.", [("query:sheet", "no such sheet")])
    name = wanted or (visible or names)[0]
    if len(names) == 1:
        return name, []
    detail = f"Only the sheet {shown(name)} was read, of {listed}."
    return name, [{"column": None, "code": "other-sheets", "detail": detail}]


def _merged(sheet: python_calamine.CalamineSheet) -> Warnings:
    areas = sheet.merged_cell_ranges
    if not areas:
        return []
    detail = f"{len(areas):,} merged areas: only the upper left cell of each has its value, the others are missing."
    return [{"column": None, "code": "merged-cells", "detail": detail}]


def _untold(contents: Contents, name: str) -> Warnings:
    num_errors, num_formulas = contents.untold(name)
    told = {
        "error-cells": (num_errors, "cells hold an error such as #N/A or #DIV/0!"),
        "formulas-without-value": (num_formulas, "formulas have no stored value; open and save the file in Excel"),
    }
    return [
        {"column": None, "code": code, "detail": f"{number:,} {what}. They are missing."}
        for code, (number, what) in told.items()
        if number
    ]


def _rows(sheet: python_calamine.CalamineSheet) -> Iterator[tuple[int, Cells]]:
    """Rows that are not blank, as text, with their 1-based numbers in the sheet."""
    try:
        for number, row in enumerate(sheet.iter_rows(), start=1):
            cells = [_text(value) for value in row]
            if any(cell is not None for cell in cells):
                yield number, cells
    except (python_calamine.CalamineError, OverflowError, ValueError):
        raise invalid("The sheet has a cell that cannot be read.") from None


def _text(value: Any) -> str | None:
    """A cell as CSV would hold it; None where it is missing."""
    if isinstance(value, str):
        return None if value in ABSENT else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Excel has no integers; from 2^53 on a number does not tell which one it was.
        return str(int(value)) if value.is_integer() and abs(value) < EXACT_INTEGERS else repr(value)
    if isinstance(value, datetime.timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


class _Batches:
    """Rows turned on their side, some at a time; knows how many columns hold anything, once all have passed."""

    def __init__(self, rows: Iterator[tuple[int, Cells]], width: int) -> None:
        self._rows = rows
        self._num_rows = max(1, NUM_CELLS_AT_ONCE // width)
        self.num_used = 0

    def __iter__(self) -> Iterator[list[Sequence[str | None]]]:
        while batch := list(islice(self._rows, self._num_rows)):
            for number, cells in batch:
                self._look_at(number, cells)
            yield list(zip(*(cells for _, cells in batch), strict=True))

    def _look_at(self, number: int, cells: Cells) -> None:
        for position, cell in enumerate(cells, start=1):
            if cell is not None:
                self.num_used = max(self.num_used, position)
                if "\0" in cell:
                    place = pointer("rows", number)
                    raise invalid(f"Row {number} has a NUL character in cell {position}.", [(place, "has a NUL")])


def _copy(rows: Iterator[tuple[int, Cells]], width: int, *, has_header: bool) -> list[str]:
    """Write the rows as Parquet; the names of the columns that hold anything."""
    header = [name or "" for name in next(rows, (0, []))[1]] if has_header else []
    batches = _Batches(rows, width)
    write_copy([f"c{i}" for i in range(width)], ["string"] * width, batches)
    num_named = max((i for i, name in enumerate(header, start=1) if name), default=0)
    num_used = max(batches.num_used, num_named)
    names = header if has_header else [f"column_{i}" for i in range(1, width + 1)]
    return names[:num_used]
