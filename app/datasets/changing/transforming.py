"""Make a version of a data set from a version: recorded steps, or the erasing of somebody's rows.

Both are work of the sandboxed child on our own stored Parquet, in the engine from end to end: rows stream, what does
not fit into memory spills, the order of rows stays, and the same steps on the same bytes write the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.datasets.changing import cleaning, deidentifying
from app.datasets.changing.anonymity import measure
from app.datasets.changing.step_columns import Columns, check_steps, named, one_named, refusal
from app.datasets.changing.step_table import StepTable
from app.datasets.changing.step_text import constant
from app.datasets.changing.typed_values import typed
from app.datasets.limits import IngestLimits, shown
from app.datasets.progress import Progress
from app.datasets.reading.parsing import store

Answer = dict[str, Any]
# What is not here changes the list of columns only.
OPERATIONS = {**cleaning.OPERATIONS, **deidentifying.OPERATIONS}


def transform(
    arguments: Mapping[str, Any], inputs: Mapping[str, Path], limits: IngestLimits, progress: Progress
) -> Answer:
    """The operation `transform`: `steps` on the version `parent`, whose stored `columns` are given.

    With `quasi_identifiers`, anonymity over them is told before and after. Pseudonyms need a `secret`.
    """
    table = StepTable(inputs, arguments["columns"], limits)
    columns_after = check_steps(arguments["columns"], arguments["steps"])
    quasi = arguments.get("quasi_identifiers")
    cells = [column.cell for column in named(table.columns, quasi or [], ("quasi_identifiers",))]
    progress.phase("reading", table.connection)
    details: Answer = {"steps": []}
    if cells:
        details["anonymity"] = {"before": measure(table, cells)}
    if any(step["op"] == "pseudonymise" for step in arguments["steps"]):
        deidentifying.hold_secret(table, arguments["secret"])
    for position, (step, columns) in enumerate(zip(arguments["steps"], columns_after, strict=True)):
        progress.phase(step["op"], table.connection)
        details["steps"].append(_carry_out(table, step, position, columns))
    if cells:
        # A column that was dropped tells nobody from anybody; one that was renamed still does.
        left = {column.cell for column in table.columns}
        details["anonymity"]["after"] = measure(table, [cell for cell in cells if cell in left])
    return write_version(table, details, limits, progress)


def _carry_out(table: StepTable, step: Mapping[str, Any], position: int, columns: Columns) -> Answer:
    num_before, place = table.num_rows, ("steps", position)
    told = OPERATIONS[step["op"]](table, step, place) if step["op"] in OPERATIONS else {}
    table.columns = columns
    if table.num_rows == 0:
        raise refusal(place, "no row would be left")
    report = {"op": step["op"], "num_rows_before": num_before, "num_rows_after": table.num_rows}
    if "columns" in told:
        report["num_cells_changed"] = sum(column["num_cells_changed"] for column in told["columns"].values())
    return report | told


def erase(arguments: Mapping[str, Any], inputs: Mapping[str, Path], limits: IngestLimits, progress: Progress) -> Answer:
    """The operation `erase`: the version `parent` without the rows whose `column` has one of the `values`."""
    table = StepTable(inputs, arguments["columns"], limits)
    column = one_named(table.columns, arguments["column"], ("column",))
    wanted = []
    for position, value in enumerate(arguments["values"]):
        try:
            wanted.append(constant(typed(value, column.kind), column.kind))
        except ValueError as fault:
            detail = f"column {shown(column.name)} is {column.kind}, so this must be {fault}"
            raise refusal(("values", position), detail) from None
    progress.phase("erasing", table.connection)
    num_before = table.num_rows
    table.hold(where=f"{column.cell} IS NULL OR {column.cell} NOT IN ({', '.join(wanted)})")
    if table.num_rows == num_before:
        raise refusal(("values",), f"no row has one of these values in column {shown(column.name)}")
    if table.num_rows == 0:
        raise refusal(("values",), "no row would be left; delete the data set instead")
    counts = {"num_rows_before": num_before, "num_rows_after": table.num_rows}
    return write_version(table, {"erased": {"column": column.name, **counts}}, limits, progress)


def write_version(table: StepTable, details: Answer, limits: IngestLimits, progress: Progress) -> Answer:
    """Write the table and describe it; what was decided for columns that stayed is kept."""
    progress.phase("writing", table.connection)
    strings = {column.name: column.kind for column in table.columns if column.is_text}
    answer = store(table.connection, table.source(), strings, limits, progress)
    for entry, column in zip(answer["columns"], table.columns, strict=True):
        if column.policies is not None:
            entry["policies"] = dict(column.policies)
    return answer | {"details": details}
