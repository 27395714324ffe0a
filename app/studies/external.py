"""Trials that clients run: asked for, reported on, told; every call may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from app.column_types import now
from app.database import Sessions
from app.errors import Conflict, Invalid, NotFound, Unavailable
from app.principal import Principal
from app.studies import pruning, service, starting, trials
from app.studies.planning import NO_OPTUNA, Plan, plan_of
from app.studies.starting import Suggestion
from app.studies.steering import ACTIVE, advance
from app.studies.trial_schemas import Report, Tell
from app.tables import StudyRow, TrialReportRow, TrialRow

MAX_TRIES = 100
Answer = TypeVar("Answer")


class Taken(Exception):
    """Another client was given this trial first."""


def ask(sessions: Sessions, principal: Principal, study_id: str, begin: Callable[[Suggestion], Answer]) -> Answer:
    """What `begin` answers for a suggestion that nobody else was given; it calls `hand_out` in a transaction.

    Raises: NotFound; Conflict when there is nothing to ask for; Unavailable when asking later helps.
    """
    for _ in range(MAX_TRIES):
        with sessions.begin() as session:
            study = service.get_locked(session, principal, study_id)
            # A lease that has run out makes room.
            advance(session, study)
            _check_may_ask(session, study)
        try:
            suggestion = starting.suggest(sessions, study_id)
            if suggestion is not None:
                return begin(suggestion)
        except Taken:
            continue
        except ModuleNotFoundError:
            raise Unavailable(NO_OPTUNA) from None
    raise Unavailable("Too many clients ask at the same time; ask again.")


def hand_out(session: Session, principal: Principal, study_id: str, suggestion: Suggestion) -> TrialRow:
    """The trial of a suggestion, leased to a client. Raises: Taken, Conflict, NotFound."""
    study = service.get_locked(session, principal, study_id)
    advance(session, study)
    _check_may_ask(session, study)
    if not starting.is_still_good(session, study, suggestion):
        raise Taken
    return trials.begin(session, study, suggestion.params, expires_at=_lease_end(plan_of(study)))


def report(session: Session, principal: Principal, study_id: str, number: int, given: Report) -> bool:
    """Store an intermediate value and renew the lease; True when the trial is without hope and ends here.

    Raises: NotFound; Conflict when the trial has ended, or the step was reported with another value; Invalid when
    steps go back.
    """
    study, plan, trial = _find(session, principal, study_id, number)
    known = session.get(TrialReportRow, (study.id, number, given.step))
    if known is not None and known.value != given.value:
        raise Conflict(f"Step {given.step} was reported with another value.")
    if known is not None and trial.state in ("running", "pruned"):
        return trial.state == "pruned"
    _refuse_ended(trial)
    last = trials.last_step(session, trial)
    if last is not None and given.step < last:
        detail = f"Steps go up; the last one was {last}."
        raise Invalid(detail, errors=[{"pointer": "/step", "detail": detail}])
    trial.expires_at = _lease_end(plan)
    trials.report(session, trial, given.step, given.value)
    if pruning.is_hopeless(session, plan, trial, after=last or 0, step=given.step):
        trial.pruned_step = given.step
        trials.end(session, study, plan, trial, "pruned")
        advance(session, study)
    return trial.state == "pruned"


def tell(session: Session, principal: Principal, study_id: str, number: int, given: Tell) -> TrialRow:
    """End a trial; the same end may be told again. Raises: NotFound; Conflict when it ended otherwise."""
    study, plan, trial = _find(session, principal, study_id, number)
    state = given.state or "completed"
    if (trial.state, trial.value) == (state, given.value):
        return trial
    _refuse_ended(trial)
    error = {"code": "told", "message": "The client told that it failed."} if state == "failed" else None
    if state == "pruned":
        trial.pruned_step = trials.last_step(session, trial)
    trials.end(session, study, plan, trial, state, value=given.value, error=error)
    advance(session, study)
    return trial


def _find(session: Session, principal: Principal, study_id: str, number: int) -> tuple[StudyRow, Plan, TrialRow]:
    study = service.get_locked(session, principal, study_id)
    if not study.is_external:
        raise Conflict("This study trains by itself; only external ones are asked and told.")
    # A lease that has run out ends now, not when a worker happens to look.
    advance(session, study)
    trial = trials.find(session, study.id, number)
    if trial is None:
        raise NotFound("trial", str(number))
    return study, plan_of(study), trial


def _check_may_ask(session: Session, study: StudyRow) -> None:
    plan = plan_of(study)
    if not study.is_external:
        raise Conflict("This study trains by itself; only external ones are asked and told.")
    if study.status not in ACTIVE:
        raise Conflict(f"The study has {study.status} already.")
    if study.status == "paused":
        raise Conflict("The study is paused.")
    if study.num_started >= plan.num_trials:
        raise Conflict(f"All {plan.num_trials} trials were handed out.")
    if not starting.has_room(session, study, plan):
        raise Unavailable(f"{plan.parallel} trials are running, as many as may; ask again when one has ended.")


def _refuse_ended(trial: TrialRow) -> None:
    if trial.state != "running":
        why = f": {trial.error['message']}" if trial.error else "."
        raise Conflict(f"The trial has ended as {trial.state}{why}")


def _lease_end(plan: Plan) -> datetime:
    return now() + timedelta(seconds=plan.lease_seconds or 0.0)
