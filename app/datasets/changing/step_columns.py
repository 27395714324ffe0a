"""Which columns a step finds and which it leaves: the checks of a transformation that need no data.

They need no engine either, so a request can be refused before a child is started.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.datasets.asking.conditions import Condition, parse_condition
from app.datasets.changing.typed_values import typed
from app.datasets.limits import pointer, shown
from app.datasets.reading.casts import STRINGS
from app.errors import Invalid

Step = Mapping[str, Any]
Place = tuple[str | int, ...]
NUMBERS = ("integer", "real")
ORDERED = (*NUMBERS, "datetime")
EVERY_TYPE = (*ORDERED, "boolean", *STRINGS)


@dataclass(frozen=True)
class StoredColumn:
    """A column under its present name: the cell it lies in (c0, c1, …), its type, what was decided for it."""

    name: str
    cell: str
    kind: str
    policies: Mapping[str, str] | None = None

    @property
    def is_text(self) -> bool:
        """Whether its cells are strings."""
        return self.kind in STRINGS


Columns = list[StoredColumn]


def stored_columns(entries: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns of a version as its record lists them, in the order of its file."""
    return [StoredColumn(e["name"], f"c{i}", e["type"], e.get("policies")) for i, e in enumerate(entries)]


def check_steps(entries: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> list[Columns]:
    """The columns after each step, from the entries of a version. Raises: Invalid with a pointer into the step."""
    columns = stored_columns(entries)
    found = []
    for position, step in enumerate(steps):
        columns = RULES[step["op"]](columns, step, ("steps", position))
        found.append(columns)
    return found


def refusal(place: Place, detail: str) -> Invalid:
    """The refusal of what stands at a place of the request; steps are counted from 1 for people."""
    words = f"Step {int(place[1]) + 1}: {detail}." if place[0] == "steps" else f"{detail[:1].upper()}{detail[1:]}."
    return Invalid(words, errors=[{"pointer": pointer(*place), "detail": detail}])


def named(columns: Columns, names: Sequence[str] | None, place: Place, kinds: Sequence[str] = EVERY_TYPE) -> Columns:
    """The columns of these names, all for None. Raises: Invalid for an unknown one, or one of another type."""
    if names is None:
        return columns
    known = {column.name: column for column in columns}
    found = [_one(known, name, (*place, position), kinds) for position, name in enumerate(names)]
    return list({column.cell: column for column in found}.values())


def one_named(columns: Columns, name: str, place: Place) -> StoredColumn:
    """The column of this name. Raises: Invalid for an unknown one."""
    return _one({column.name: column for column in columns}, name, place, EVERY_TYPE)


def _one(known: Mapping[str, StoredColumn], name: str, place: Place, kinds: Sequence[str]) -> StoredColumn:
    if name not in known:
        raise refusal(place, f"there is no column {shown(name)}")
    if known[name].kind not in kinds:
        only = " or ".join(kind for kind in kinds if kind not in STRINGS or kind == "text")
        raise refusal(place, f"column {shown(name)} is {known[name].kind}; this step works on {only}")
    return known[name]


def _drop_columns(columns: Columns, step: Step, place: Place) -> Columns:
    dropped = named(columns, step["columns"], (*place, "columns"))
    if len(dropped) == len(columns):
        raise refusal((*place, "columns"), "no column would be left")
    return [column for column in columns if column not in dropped]


def _keep_columns(columns: Columns, step: Step, place: Place) -> Columns:
    kept = named(columns, step["columns"], (*place, "columns"))
    return [column for column in columns if column in kept]


def _rename(columns: Columns, step: Step, place: Place) -> Columns:
    names = step["names"]
    known = {column.name for column in columns}
    taken = {name.lower() for name in known - set(names)}
    for old, new in names.items():
        one_named(columns, old, (*place, "names", old))
        if new.lower() in taken:
            raise refusal((*place, "names", old), f"another column is named {shown(new)}, if only in other case")
        taken.add(new.lower())
    return [replace(column, name=names.get(column.name, column.name)) for column in columns]


def _same_columns(columns: Columns, step: Step, place: Place) -> Columns:
    named(columns, step["columns"], (*place, "columns"))
    return columns


def conditions(columns: Columns, step: Step, place: Place) -> list[Condition]:
    """The conditions of a filter on these columns. Raises: Invalid with a pointer to the one that is wrong."""
    types = {column.name: column.kind for column in columns}
    found = []
    for position, written in enumerate(step["conditions"]):
        try:
            found.append(parse_condition(written, types, pointer=""))
        except Invalid as fault:
            raise refusal((*place, "conditions", position), fault.detail.removesuffix(".")) from None
    return found


def _filter(columns: Columns, step: Step, place: Place) -> Columns:
    conditions(columns, step, place)
    return columns


def _fill_missing(columns: Columns, step: Step, place: Place) -> Columns:
    kinds = ORDERED if step["method"] in ("mean", "median") else EVERY_TYPE
    for column in named(columns, step["columns"], (*place, "columns"), kinds):
        if step["method"] == "constant":
            try:
                typed(step["fill_value"], column.kind)
            except ValueError as fault:
                detail = f"column {shown(column.name)} is {column.kind}, so this must be {fault}"
                raise refusal((*place, "fill_value"), detail) from None
    return columns


def _cast(columns: Columns, step: Step, place: Place) -> Columns:
    for name in step["types"]:
        one_named(columns, name, (*place, "types", name))
    return [_retyped(column, step["types"].get(column.name, column.kind)) for column in columns]


def _clip(columns: Columns, step: Step, place: Place) -> Columns:
    for column in named(columns, step["columns"], (*place, "columns"), NUMBERS):
        low, high = step.get("low"), step.get("high")
        if column.kind == "integer" and low is not None and high is not None and math.ceil(low) > math.floor(high):
            raise refusal((*place, "low"), f"no whole number for column {shown(column.name)} lies between the bounds")
    return columns


def _become_text(kind: str) -> Callable[[Columns, Step, Place], Columns]:
    """The rule of a step that writes text, which is of this type where the column held none before."""

    def rule(columns: Columns, step: Step, place: Place) -> Columns:
        changed = named(columns, step["columns"], (*place, "columns"))
        return [_retyped(c, kind) if c in changed and not c.is_text else c for c in columns]

    return rule


def _generalise(columns: Columns, step: Step, place: Place) -> Columns:
    if step.get("to") is not None or step.get("characters") is not None:
        kinds = ("datetime",) if step.get("to") is not None else STRINGS
        named(columns, step["columns"], (*place, "columns"), kinds)
        return columns
    changed = named(columns, step["columns"], (*place, "columns"), NUMBERS)
    for way in ("width", "edges"):
        numbers = step.get(way) if way == "edges" else [step.get(way)]
        for column in changed:
            if column.kind == "integer" and any(number is not None and number % 1 for number in numbers or ()):
                raise refusal((*place, way), f"column {shown(column.name)} is integer, so this must be whole numbers")
    return [_retyped(column, "category") if column in changed else column for column in columns]


def _suppress_rare(columns: Columns, step: Step, place: Place) -> Columns:
    kinds = EVERY_TYPE if step["replacement"] is None else STRINGS
    named(columns, step["columns"], (*place, "columns"), kinds)
    return columns


def _retyped(column: StoredColumn, kind: str) -> StoredColumn:
    # What was decided for values of one type says nothing about those of another.
    return column if kind == column.kind else replace(column, kind=kind, policies=None)


RULES: dict[str, Callable[[Columns, Step, Place], Columns]] = {
    "drop_columns": _drop_columns,
    "keep_columns": _keep_columns,
    "rename": _rename,
    "drop_duplicates": _same_columns,
    "drop_missing": _same_columns,
    "filter": _filter,
    "fill_missing": _fill_missing,
    "cast": _cast,
    "clip": _clip,
    "mask": _become_text("text"),
    "pseudonymise": _become_text("identifier"),
    "generalise": _generalise,
    "suppress_rare": _suppress_rare,
}
