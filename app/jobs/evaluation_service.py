"""Evaluations on request: which version, on which rows, against which other version, checked before they are queued."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import audit
from app.datasets import service as datasets
from app.errors import Conflict, Invalid, NotFound
from app.jobs import service, submission
from app.jobs.evaluation_schemas import EvaluationCreate
from app.learning.preprocess import Preparation
from app.learning.values import CONVERSIONS
from app.models import service as models
from app.models.reference import parse
from app.principal import Principal
from app.settings import Settings
from app.tables import DatasetRow, JobRow, ModelVersionRow

PARTS = ("test", "validation", "train")
MOST_LOOKED_AT = 100


def submit(
    session: Session, principal: Principal, reference: str, request: EvaluationCreate, settings: Settings
) -> JobRow:
    """Queue an evaluation. Raises: NotFound; Conflict; Invalid pointing at what does not fit."""
    audit.take_turn(session, principal.project_id)
    return submission.submit(session, principal, _order(session, principal, reference, request, settings), settings)


def find_or_submit(
    session: Session, principal: Principal, reference: str, request: EvaluationCreate, settings: Settings
) -> JobRow:
    """The newest evaluation of the same that has succeeded or will, or a new one. Raises: as `submit`."""
    audit.take_turn(session, principal.project_id)
    order = _order(session, principal, reference, request, settings)
    same = (JobRow.project_id == principal.project_id, JobRow.kind == order.kind, JobRow.dataset_id == order.dataset_id)
    usable = select(JobRow).where(*same, JobRow.model == order.model, JobRow.status.not_in(("failed", "cancelled")))
    # Equal plans on equal data give equal documents.
    digests = order.digests | {"plan": submission.digest(order.plan)}
    for row in session.scalars(usable.order_by(JobRow.id.desc()).limit(MOST_LOOKED_AT)):
        if row.digests == digests:
            return row
    return submission.submit(session, principal, order, settings)


def _order(
    session: Session, principal: Principal, reference: str, request: EvaluationCreate, settings: Settings
) -> submission.Order:
    row = models.get_version(session, principal, parse(reference))
    name = parse(reference).name
    dataset = _dataset(session, principal, row, request.dataset)
    versions = [_named(name, row)]
    check_columns(dataset, row, versions[0]["reference"])
    _check_slices(dataset, request.slices or ())
    if request.against is not None:
        versions.append(_other(session, principal, row, dataset, request.against))
    plan = {
        "task": row.task,
        "target": row.manifest["target"]["name"],
        "seed": request.seed,
        "part": _part(row, dataset, request.part),
        "slices": request.slices,
        "versions": versions,
    }
    digests = {"dataset": dataset.sha256, "table": dataset.parquet_sha256}
    limits = service.limits(request, settings)
    return submission.Order("evaluate", dataset.id, plan, digests, limits, name, request.priority)


def measured(
    session: Session, dataset: DatasetRow, version: dict[str, Any]
) -> tuple[ModelVersionRow, dict[str, Any] | None]:
    """A version of a plan, and the plan of its training where that learned from this very table. Raises: NotFound."""
    row = session.get(ModelVersionRow, (version["model_id"], version["version"]))
    if row is None:
        raise NotFound("model version", version["reference"])
    job = session.get(JobRow, row.job_id) if row.job_id is not None else None
    is_own = job is not None and row.digests.get("table") == dataset.parquet_sha256
    return row, job.plan if job is not None and is_own else None


def keep(session: Session, job_id: str, sha256: str) -> None:
    """Name the document that a job has written, in the transaction that ends it."""
    session.get_one(JobRow, job_id).evaluation_sha256 = sha256
    session.flush()


def _dataset(session: Session, principal: Principal, row: ModelVersionRow, dataset_id: str | None) -> DatasetRow:
    wanted = dataset_id or row.dataset_id
    if wanted is None:
        raise _invalid("/dataset", "The data set of this version is not known; name one.")
    dataset = datasets.get(session, principal, wanted)
    if dataset.status != "ready":
        raise Conflict(f"The data set is {dataset.status}; an evaluation needs a ready one.")
    return dataset


def _named(name: str, row: ModelVersionRow) -> dict[str, Any]:
    return {"reference": f"{name}@{row.version}", "model_id": row.model_id, "version": row.version}


def _other(
    session: Session, principal: Principal, row: ModelVersionRow, dataset: DatasetRow, against: str
) -> dict[str, Any]:
    try:
        other = models.get_version(session, principal, parse(against))
    except (NotFound, Invalid) as error:
        raise _invalid("/against", error.detail) from None
    found = _named(parse(against).name, other)
    if (other.model_id, other.version) == (row.model_id, row.version):
        raise _invalid("/against", "A version cannot be compared with itself.")
    wanted, given = (each.manifest["target"]["name"] for each in (row, other))
    if given != wanted or _kind(other.task) != _kind(row.task):
        raise _invalid("/against", f"{found['reference']} predicts {given} ({other.task}), not {wanted} ({row.task}).")
    check_columns(dataset, other, found["reference"])
    return found


def _kind(task: str) -> str:
    return "classes" if task in ("binary", "multiclass") else task


def _part(row: ModelVersionRow, dataset: DatasetRow, asked: str | None) -> str:
    """The rows: all of a data set that is not the version's own, else its part that is the nearest to new rows."""
    sizes = row.manifest["split"]["num_rows"]
    if row.digests.get("table") != dataset.parquet_sha256 or row.job_id is None:
        if asked not in (None, "all"):
            raise _invalid("/part", f"The version learned from another data set; this one has no {asked} part.")
        return "all"
    if asked is None:
        return next(part for part in PARTS if sizes[part])
    if asked != "all" and not sizes[asked]:
        raise _invalid("/part", f"The {asked} part has no rows.")
    return asked


def check_columns(dataset: DatasetRow, row: ModelVersionRow, reference: str, *, target: bool = True) -> None:
    """Raise Invalid unless a data set has what a version reads, in types that can be read as its own."""
    types = {column["name"]: column["type"] for column in dataset.columns}
    needed = {column.name: column.type for column in Preparation.from_json(row.manifest["preparation"]).inputs}
    if target:
        needed |= {row.manifest["target"]["name"]: row.manifest["target"]["type"]}
    for name, wanted in needed.items():
        if name not in types:
            raise _invalid("/dataset", f"It has no column {name[:64]}, which {reference} needs.")
        numbers = {types[name], wanted} <= {"integer", "real", "boolean", "datetime"}
        if types[name] != wanted and not numbers and wanted not in CONVERSIONS[types[name]]:
            detail = f"Its column {name[:64]} is of type {types[name]}; {reference} needs {wanted}."
            raise _invalid("/dataset", detail)


def _check_slices(dataset: DatasetRow, slices: Iterable[str]) -> None:
    types = {column["name"] for column in dataset.columns}
    for index, name in enumerate(slices):
        if name not in types:
            raise _invalid(f"/slices/{index}", f"The data set has no column {name[:64]}.")


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])
