"""Batch predictions: which version answers which rows, checked before they are queued; blocks and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import audit
from app.column_types import now
from app.datasets import service as datasets
from app.errors import Invalid, NotFound
from app.jobs import service, submission
from app.jobs.batch_schemas import PredictionCreate
from app.jobs.evaluation_service import check_columns
from app.learning.batch_columns import Answers
from app.learning.errors import InputError
from app.models import service as models
from app.models.reference import Reference, parse
from app.principal import Principal
from app.settings import Settings
from app.tables import DatasetRow, JobRow, ModelVersionRow, PredictionBlockRow, RejectedRow

MAX_WARNINGS = 1000


@dataclass(frozen=True)
class Finished:
    """The blocks of a batch prediction that are durable, in the order of their rows."""

    blocks: Sequence[PredictionBlockRow]

    @property
    def num_rows(self) -> int:
        """How many rows have been looked at."""
        return sum(block.num_rows for block in self.blocks)

    @property
    def num_rejected(self) -> int:
        """How many of them have no answer."""
        return sum(block.num_rejected for block in self.blocks)

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """How many rows came with each warning, by column and code."""
        counts: Counter[tuple[str, str]] = Counter()
        for block in self.blocks:
            counts.update({(column, code): num for column, code, num in block.warnings})
        listed = sorted(counts.items())[:MAX_WARNINGS]
        return [{"column": column, "code": code, "num_rows": num} for (column, code), num in listed]


def submit(session: Session, principal: Principal, request: PredictionCreate, settings: Settings) -> JobRow:
    """Queue a batch prediction. Raises: NotFound; Conflict; Invalid pointing at what does not fit."""
    audit.take_turn(session, principal.project_id)
    reference = _reference(request.model)
    row = models.get_version(session, principal, reference)
    dataset = datasets.get_ready(session, principal, request.dataset)
    told = f"{reference.name}@{row.version}"
    check_columns(dataset, row, told, target=False)
    plan = {
        "reference": told,
        "model_id": row.model_id,
        "version": row.version,
        "name": request.name or f"{dataset.name[:115]}-predictions",
        "columns": _columns(dataset, row, request, settings),
        "keep": request.keep,
        "probabilities": request.probabilities,
        "interval": request.interval,
    }
    digests = {"dataset": dataset.sha256, "table": dataset.parquet_sha256, "graph": row.graph_sha256}
    limits = service.limits(request, settings)
    order = submission.Order("predict", dataset.id, plan, digests, limits, reference.name, request.priority)
    return submission.submit(session, principal, order, settings)


def answering(session: Session, plan: dict[str, Any]) -> ModelVersionRow:
    """The version of a plan. Raises: NotFound when it was deleted."""
    row = session.get(ModelVersionRow, (plan["model_id"], plan["version"]))
    if row is None:
        raise NotFound("model version", plan["reference"])
    return row


def finished(session: Session, job_id: str) -> Finished:
    """What earlier attempts, and this one until now, have answered."""
    query = select(PredictionBlockRow).where(PredictionBlockRow.job_id == job_id)
    return Finished(session.scalars(query.order_by(PredictionBlockRow.first_row)).all())


def add_block(session: Session, job_id: str, told: dict[str, Any], sha256: str, rejected_sha256: str | None) -> None:
    """List a block, after its bytes were stored."""
    names = ("first_row", "num_rows", "num_rejected", "warnings")
    digests = {"sha256": sha256, "rejected_sha256": rejected_sha256}
    session.add(PredictionBlockRow(job_id=job_id, **{name: told[name] for name in names}, **digests, created_at=now()))
    session.flush()


def keep_rejected(session: Session, job_id: str, sha256: str) -> None:
    """Name the list of rows without an answer, in the transaction that ends the job."""
    session.add(RejectedRow(job_id=job_id, sha256=sha256, created_at=now()))
    session.flush()


def rejected(session: Session, principal: Principal, job_id: str) -> str:
    """The digest of the list of rows without an answer. Raises: NotFound, until the job has succeeded."""
    row = session.get(RejectedRow, service.get(session, principal, job_id).id)
    if row is None:
        raise NotFound("list of rejected rows", job_id)
    return row.sha256


def _reference(text: str) -> Reference:
    try:
        return parse(text)
    except Invalid as error:
        raise _invalid("/model", error.detail) from None


def _columns(
    dataset: DatasetRow, row: ModelVersionRow, request: PredictionCreate, settings: Settings
) -> list[dict[str, Any]]:
    """The columns of the data set that will be made: those kept, then the answers. Raises: Invalid."""
    try:
        answers = Answers(row.manifest, interval=request.interval, probabilities=request.probabilities)
    except InputError as error:
        raise _invalid("/interval", error.errors[0]["detail"]) from None
    types = answers.types(request.prefix)
    stored = {column["name"]: column for column in dataset.columns}
    taken = {name.lower() for name in types}
    for index, name in enumerate(request.keep):
        if name not in stored or name in request.keep[:index]:
            fault = "is named twice" if name in stored else "is no column of the data set"
            raise _invalid(f"/keep/{index}", f"{name[:64]} {fault}.")
        if name.lower() in taken:
            raise _invalid(f"/keep/{index}", f"{name[:64]} is a column of the answers, too; choose a prefix for those.")
    if len(types) + len(request.keep) > settings.max_columns:
        detail = f"The data set would have more than {settings.max_columns} columns; leave out the probabilities."
        raise _invalid("/probabilities", detail)
    kept = [{name: stored[each][name] for name in ("name", "type", "policies")} for each in request.keep]
    return kept + [{"name": name, "type": kind} for name, kind in types.items()]


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])
