"""Is a trial without hope? The pruner's rule over what the trials of a study reported."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.learning.tuning import pruners
from app.studies.planning import Plan
from app.tables import TrialReportRow, TrialRow


def is_hopeless(session: Session, plan: Plan, trial: TrialRow, *, after: int, step: int) -> bool:
    """What the pruner says of a trial that has just reported a step; `after` is the step of the report before."""
    if plan.pruner == "median":
        return _is_below_median(session, plan, trial, step)
    if plan.pruner == "asha":
        losses = (_at_rung(session, plan, trial, rung) for rung in pruners.rungs(after, step))
        return any(pruners.falls_off(there[trial.number], list(there.values())) for there in losses)
    return False


def _is_below_median(session: Session, plan: Plan, trial: TrialRow, step: int) -> bool:
    completed = select(TrialRow.number).where(TrialRow.study_id == trial.study_id, TrialRow.state == "completed")
    num_completed = session.scalars(select(func.count()).select_from(completed.subquery())).one()
    of_study = TrialReportRow.study_id == trial.study_id
    there: Sequence[float] = session.scalars(
        select(TrialReportRow.value).where(of_study, TrialReportRow.step == step, TrialReportRow.number.in_(completed))
    ).all()
    ends = select(func.min(TrialReportRow.value), func.max(TrialReportRow.value))
    least, most = session.execute(ends.where(of_study, TrialReportRow.number == trial.number)).one()
    best_loss = min(plan.reported_loss(least), plan.reported_loss(most))
    return pruners.is_below_median(best_loss, [plan.reported_loss(value) for value in there], num_completed)


def _at_rung(session: Session, plan: Plan, trial: TrialRow, rung: int) -> dict[int, float]:
    """With which loss each trial came to a rung: that of its first report there or behind."""
    first = (
        select(TrialReportRow.number, func.min(TrialReportRow.step).label("step"))
        .where(TrialReportRow.study_id == trial.study_id, TrialReportRow.step >= rung)
        .group_by(TrialReportRow.number)
        .subquery()
    )
    rows = session.execute(
        select(TrialReportRow.number, TrialReportRow.value).join(
            first,
            (TrialReportRow.study_id == trial.study_id)
            & (TrialReportRow.number == first.c.number)
            & (TrialReportRow.step == first.c.step),
        )
    )
    return {number: plan.reported_loss(value) for number, value in rows}
