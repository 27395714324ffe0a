"""What people say of a table against our inference: types and policies of columns, and what that makes of a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.datasets.limits import pointer, shown
from app.datasets.making import Table
from app.datasets.schemas import DatasetPatch
from app.datasets.service import Draft
from app.durable import Blob
from app.errors import Invalid
from app.learning.policies import STORED_POLICIES, applicable
from app.tables import DatasetRow

Policies = dict[str, dict[str, str]]


def check(row: DatasetRow, patch: DatasetPatch) -> None:
    """Raise Invalid, pointing at each, for columns that are not there and policies that mean nothing for them."""
    types = {column["name"]: column["type"] for column in row.columns}
    errors: list[dict[str, str]] = []
    for name, change in patch.columns.items():
        if name not in types:
            errors.append(_problem(f"The data set has no column {shown(name)}.", name))
            continue
        kind = change.type or types[name]
        for policy, word in change.policies.items():
            detail = _fault(kind, policy, word)
            if detail:
                errors.append(_problem(detail, name, "policies", policy))
    if errors:
        raise Invalid(errors[0]["detail"], errors=list(errors))
    if not patch.columns and patch.extra_columns is None:
        raise Invalid("There is nothing to change.", errors=[_problem("Name the columns to change.")])


def _fault(kind: str, policy: str, word: str) -> str | None:
    if policy not in STORED_POLICIES:
        return f"There is no policy {shown(policy)}; policies are {', '.join(STORED_POLICIES)}."
    if policy not in applicable(kind):
        return f"The policy {policy} means nothing for a column of type {kind}."
    if word not in STORED_POLICIES[policy]:
        return f"{policy} is one of {', '.join(STORED_POLICIES[policy])}."
    return None


def _problem(detail: str, *parts: str) -> dict[str, str]:
    return {"pointer": pointer("columns", *parts), "detail": detail}


def changed_types(row: DatasetRow, patch: DatasetPatch) -> dict[str, str]:
    """The columns whose type changes, with the new one."""
    types = {column["name"]: column["type"] for column in row.columns}
    wanted = {name: change.type for name, change in patch.columns.items() if change.type is not None}
    return {name: kind for name, kind in wanted.items() if kind != types[name]}


def draft(row: DatasetRow, patch: DatasetPatch) -> Draft:
    """The version that says what the patch says; its order reads the table again, in the types that people gave."""
    origin = {**row.origin, "operation": "override", "policies": _merged(row.origin.get("policies", {}), patch)}
    if patch.extra_columns is not None:
        origin["extra_columns"] = patch.extra_columns
    types = changed_types(row, patch)
    if "read" in row.origin:
        # The sent bytes say more than the table: 007 read as an integer is 7 there.
        options = row.origin["read"]["options"]
        origin["read"] = row.origin["read"] | {"options": options | {"types": options["types"] | types}}
        order, inputs = {"operation": "read", **origin["read"]}, {"source": row.sha256}
    else:
        steps = [{"op": "cast", "types": types}]
        order = {"operation": "transform", "steps": steps, "columns": row.columns}
        inputs = {"parent": row.parquet_sha256}
    sent = Blob(row.sha256, row.size_bytes) if "read" in row.origin else None
    return Draft(row.name, origin, order, inputs, sent, row.format, row.source, parent_id=row.id)


def same_table(row: DatasetRow) -> Table:
    """The table of a version, for another version that differs in what people say of it."""
    parquet = Blob(row.parquet_sha256, row.parquet_size_bytes)
    return Table(parquet, row.blocks, row.num_rows, row.columns, row.profile, {})


def _merged(policies: Mapping[str, Mapping[str, str]], patch: DatasetPatch) -> Policies:
    stated = {name: dict(change.policies) for name, change in patch.columns.items() if change.policies}
    names = [*policies, *(name for name in stated if name not in policies)]
    return {name: dict(policies.get(name, {})) | stated.get(name, {}) for name in names}


def carried(row: DatasetRow) -> dict[str, Any]:
    """What people said of a version, which holds for the versions made from it."""
    return {name: row.origin[name] for name in ("policies", "extra_columns") if name in row.origin}
