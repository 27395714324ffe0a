"""A version held against the gates of its model: facts first, gathered without a transaction, then the rules."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from app.database import Sessions
from app.errors import Conflict, Invalid, NotFound, Unavailable
from app.jobs import evaluation_service, queue, watch
from app.jobs.evaluation_schemas import EvaluationCreate
from app.learning.errors import InputError
from app.learning.latency import Latency, measure_one_row
from app.models import service as models
from app.models.reference import Reference
from app.predictions.service import Served, loadable
from app.principal import Principal
from app.settings import Settings
from app.storage import Storage
from app.tables import ModelVersionRow
from app.traffic import service
from app.traffic.gates import Facts, Outcome, judge
from app.traffic.schemas import AnyRule
from app.traffic.service import Target

FIRST = 1000
RULES: TypeAdapter[list[AnyRule]] = TypeAdapter(list[AnyRule])


@dataclass(frozen=True)
class Place:
    """What a check needs of its process."""

    settings: Settings
    sessions: Sessions
    read_sessions: Sessions
    storage: Storage
    served: Served


@dataclass(frozen=True)
class Seen:
    """An alias and the gates of its model at one moment; revision 0 stands for none."""

    name: str
    alias: str
    revision: int
    gates_revision: int
    guarded: bool
    rules: list[AnyRule]
    versions: dict[int, ModelVersionRow]
    present: set[int]
    incumbent: ModelVersionRow | None

    @property
    def candidates(self) -> list[ModelVersionRow]:
        """The versions that the alias does not point at yet."""
        return [row for number, row in sorted(self.versions.items()) if number not in self.present]


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one version."""

    version: int
    against: str | None
    outcomes: list[Outcome]

    @property
    def passed(self) -> bool:
        """Whether no rule failed."""
        return all(outcome.passed for outcome in self.outcomes)


def look(place: Place, principal: Principal, name: str, alias: str, target: Target, if_match: int | None) -> Seen:
    """What a move of the alias would change. Raises: NotFound; Invalid; PreconditionFailed."""
    with place.read_sessions.begin() as session:
        model = models.get(session, principal, name)
        service.check_target(session, model, alias, target)
        row = service.find_alias(session, model, alias)
        service.check_revision(row, if_match)
        gates = service.find_gates(session, model)
        present = models.versions_of(row) if row is not None else set()

        def version(number: int) -> ModelVersionRow:
            return models.get_version(session, principal, Reference(name, number))

        return Seen(
            name,
            alias,
            row.revision if row is not None else 0,
            gates.revision if gates is not None else 0,
            gates is not None and alias in gates.aliases,
            RULES.validate_python(gates.rules, strict=False) if gates is not None else [],
            {number: version(number) for number in target.versions},
            present,
            version(row.version) if row is not None else None,
        )


async def check(place: Place, principal: Principal, seen: Seen, row: ModelVersionRow, *, seconds: float) -> Verdict:
    """What the rules say of a version; its comparison may take so long. Raises: Unavailable while it is not done."""
    before = seen.incumbent if seen.incumbent is not None and seen.incumbent.version != row.version else None
    against = f"{seen.name}@{before.version}" if before is not None else None
    kinds = {rule.rule for rule in seen.rules}
    reasons: dict[str, str] = {}
    comparison = None
    if "not_worse" in kinds and against is not None:
        comparison = await _compare(place, principal, f"{seen.name}@{row.version}", against, seconds, reasons)

    def rest() -> Facts:
        return Facts(
            evaluation=_evaluation(place, row),
            against=against,
            against_evaluation=_evaluation(place, before) if before is not None and "slices" in kinds else None,
            comparison=comparison,
            latency=_measure(place, principal, seen.name, row, reasons) if "latency" in kinds else None,
            reasons=reasons,
        )

    facts = await run_in_threadpool(rest)
    return Verdict(row.version, against, [judge(rule, facts) for rule in seen.rules])


def refuse_failed(name: str, alias: str, verdicts: list[Verdict]) -> None:
    """Raise Conflict naming each rule that failed, and by how much."""
    failed = [
        {"pointer": f"/rules/{index}", "detail": f"{name}@{verdict.version}: {outcome.detail}"}
        for verdict in verdicts
        for index, outcome in enumerate(verdict.outcomes)
        if not outcome.passed
    ]
    if failed:
        detail = f"{name}@{alias} stays where it is: {failed[0]['detail']}"
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise Conflict(detail + more, code="gate-failed", errors=failed)


async def _compare(
    place: Place, principal: Principal, reference: str, against: str, seconds: float, reasons: dict[str, str]
) -> dict[str, Any] | None:
    """The document of an evaluation job of both versions on the same rows, made now unless there is one."""
    request = EvaluationCreate(against=against, priority=FIRST)

    def submit() -> str:
        with place.sessions.begin() as session:
            return evaluation_service.find_or_submit(session, principal, reference, request, place.settings).id

    try:
        job_id = await run_in_threadpool(submit)
    except (Conflict, Invalid, NotFound) as refusal:
        reasons["not_worse"] = f"It cannot be compared with {against}: {refusal.detail}"
        return None
    job = await watch.wait_until_done(place.read_sessions, principal, job_id, seconds=seconds)
    if job.status not in queue.TERMINAL:
        detail = f"The comparison of {reference} with {against} is not done yet ({job_id}); ask again."
        raise Unavailable(detail, code="gate-pending", retry_after_seconds=2)
    if job.evaluation_sha256 is None:
        told = (job.error or {}).get("message", f"it was {job.status}.")
        reasons["not_worse"] = f"The comparison with {against} ({job_id}) has no result: {told}"
        return None
    document: dict[str, Any] = json.loads(await run_in_threadpool(place.storage.read, job.evaluation_sha256))
    return document | {"job": job_id}


def _evaluation(place: Place, row: ModelVersionRow) -> dict[str, Any] | None:
    if row.evaluation_sha256 is None:
        return None
    document: dict[str, Any] = json.loads(place.storage.read(row.evaluation_sha256))
    return document


def _measure(
    place: Place, principal: Principal, name: str, row: ModelVersionRow, reasons: dict[str, str]
) -> Latency | None:
    # A copy whose answers are not counted as if somebody had asked for them.
    predictor = copy(place.served.load(loadable(name, row, principal.project_id)))
    predictor.figures = None
    try:
        return measure_one_row(predictor)
    except InputError as error:
        reasons["latency"] = f"It refused a row like those it learned from: {error.errors[0]['detail']}"
        return None
