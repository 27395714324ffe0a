"""The next trial of a study: suggested outside of any transaction, and begun only if the study still stands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database import Sessions
from app.errors import Invalid
from app.jobs import service as jobs
from app.learning.tuning import samplers
from app.principal import Principal
from app.settings import Settings
from app.studies import trials
from app.studies.planning import Plan, plan_of, trial_request
from app.tables import StudyRow, TrialRow


@dataclass(frozen=True)
class Suggestion:
    """Parameters for one trial, drawn when the study stood at that trial."""

    number: int
    params: dict[str, Any]


def has_room(session: Session, study: StudyRow, plan: Plan) -> bool:
    """Whether another trial may begin now."""
    if study.status != "running" or study.control is not None or study.num_started >= plan.num_trials:
        return False
    running = select(func.count()).where(TrialRow.study_id == study.id, TrialRow.state == "running")
    return plan.parallel is None or session.scalars(running).one() < plan.parallel


def suggest(read_sessions: Sessions, study_id: str) -> Suggestion | None:
    """What to try next, None when there is no room for a trial. Raises: ModuleNotFoundError as `samplers.suggest`."""
    with read_sessions.begin() as session:
        study = session.get(StudyRow, study_id)
        if study is None:
            return None
        plan = plan_of(study)
        if not has_room(session, study, plan):
            return None
        # Only tpe learns from what was tried.
        tried = trials.history(session, study, plan) if plan.sampler == "tpe" else []
    number = study.num_started
    params = samplers.suggest(plan.sampler, plan.dimensions, seed=plan.seed, number=number, trials=tried)
    return Suggestion(number, params)


def is_still_good(session: Session, study: StudyRow, suggestion: Suggestion) -> bool:
    """Whether nobody else has begun this trial meanwhile; the study is locked."""
    return study.num_started == suggestion.number and has_room(session, study, plan_of(study))


def submit(session: Session, study: StudyRow, suggestion: Suggestion, settings: Settings) -> None:
    """Begin a trial with its job. One that the spec refuses has failed without a job.

    Raises: Unavailable when the project's queue is full.
    """
    plan = plan_of(study)
    principal = Principal(study.project_id, "", frozenset())
    trial = trials.begin(session, study, suggestion.params)
    request = trial_request(study, plan, suggestion.params)
    try:
        jobs.submit(session, principal, request, settings, study_id=study.id, trial=trial.number)
    except Invalid as error:
        refusal = {"code": error.code, "message": error.detail, "errors": error.errors}
        trials.end(session, study, plan, trial, "failed", error=refusal)
