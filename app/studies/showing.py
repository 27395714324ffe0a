"""Studies and trials as clients see them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.database import Sessions
from app.learning.tuning.importance import importances
from app.studies import trials
from app.studies.planning import plan_of
from app.studies.schemas import BestRead, CountsRead, StudyRead
from app.studies.trial_schemas import ReportRead, TrialRead
from app.studies.trials import TrialAndJob
from app.tables import StudyRow, TrialReportRow

COPIED = ("id", "status", "control", "model", "error", "created_at", "finished_at")
COPIED_OF_TRIALS = (
    "number",
    "state",
    "params",
    "value",
    "pruned_step",
    "error",
    "created_at",
    "expires_at",
    "finished_at",
)


def show_studies(session: Session, rows: Sequence[StudyRow]) -> list[StudyRead]:
    """Studies with their counts and their best."""
    counts = trials.counts(session, [row.id for row in rows])
    return [_study(row, CountsRead(**counts.get(row.id, {})), best(session, row)) for row in rows]


def show(session: Session, row: StudyRow) -> StudyRead:
    """One study."""
    return show_studies(session, [row])[0]


def show_all(sessions: Sessions, row: StudyRow) -> StudyRead:
    """One study with which parameters mattered: too much work for lists, and for a transaction that writes."""
    plan = plan_of(row)
    with sessions.begin() as session:
        shown, tried = show(session, row), trials.completed(session, row, plan)
    return shown.model_copy(update={"importances": importances(plan.dimensions, *tried)})


def best(session: Session, row: StudyRow) -> BestRead | None:
    """The best trial so far."""
    if row.best_trial is None:
        return None
    found = trials.list_page(session, row, limit=1, after=row.best_trial - 1, state=None)
    trial, job_id = found[0]
    return BestRead(trial=trial.number, value=trial.value or 0.0, params=trial.params, job=job_id)


def _study(row: StudyRow, counts: CountsRead, best: BestRead | None) -> StudyRead:
    return StudyRead(
        external=row.is_external,
        dataset=row.dataset_id,
        model_version=f"{row.model}@{row.model_version}" if row.model_version else None,
        trials=counts,
        best=best,
        importances=None,
        **{name: getattr(row, name) for name in COPIED},
        **plan_of(row).model_dump(),
    )


def show_trials(session: Session, study: StudyRow, rows: Sequence[TrialAndJob], *, most: int) -> list[TrialRead]:
    """Trials with what they reported, at most so many values each."""
    reports = trials.list_reports(session, study, [trial.number for trial, _ in rows], most=most)
    return [_trial(row, reports.get(row[0].number, [])) for row in rows]


def _trial(row: TrialAndJob, reports: Sequence[TrialReportRow]) -> TrialRead:
    trial, job_id = row
    ended = trial.finished_at
    return TrialRead(
        study=trial.study_id,
        job=job_id,
        intermediate_values=[ReportRead(step=each.step, value=each.value) for each in reports],
        duration_seconds=(ended - trial.created_at).total_seconds() if ended is not None else None,
        **{name: getattr(trial, name) for name in COPIED_OF_TRIALS},
    )
