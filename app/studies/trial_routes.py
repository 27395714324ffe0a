"""/v1/studies/{study_id}/trials, and the calls of external trainers: ask, report, tell."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.errors import NotFound
from app.learning.tuning.samplers import State
from app.studies import external, service, trials
from app.studies.routes import StudyId
from app.studies.showing import show_trials
from app.studies.starting import Suggestion
from app.studies.trial_schemas import AskRead, Report, ReportAnswer, Tell, TrialRead
from app.tables import StudyRow
from app.web.idempotency import Create
from app.web.paging import Page, Paging, number, page
from app.web.routing import Caller, InSession, allow, router

routes = router("studies")
Number = Annotated[int, Path(ge=0, le=10**9, description="Number of a trial in its study.")]
MOST_IN_A_LIST, MOST_ALONE = 50, 1000


@routes.get("/v1/studies/{study_id}/trials")
@allow("read")
def list_trials(
    study_id: StudyId,
    caller: Caller,
    session: InSession,
    cursor: Paging,
    state: Annotated[State | None, Query(description="Only trials in this state.")] = None,
) -> Page[TrialRead]:
    """The trials of a study in their order, at most 50 intermediate values each; the cursor is the number."""
    study = service.get(session, caller, study_id)
    after = number(cursor.after, parameter="after") if cursor.after is not None else -1
    rows = trials.list_page(session, study, limit=cursor.limit, after=after, state=state)
    return page(show_trials(session, study, rows, most=MOST_IN_A_LIST), cursor, key="number")


@routes.get("/v1/studies/{study_id}/trials/{trial}")
@allow("read")
def get_trial(study_id: StudyId, trial: Number, caller: Caller, session: InSession) -> TrialRead:
    """One trial, with at most 1000 intermediate values."""
    return _shown(session, service.get(session, caller, study_id), trial)


@routes.post("/v1/studies/{study_id}/ask", status_code=201, response_model=AskRead)
@allow("jobs:write")
async def ask_study(request: Request, study_id: StudyId, caller: Caller, create: Create) -> Response:
    """Get the parameters of a trial to run; each call gets another one, unless its Idempotency-Key was used before."""
    fingerprint = study_id.encode()
    replayed = await create.replay(fingerprint)
    if replayed is not None:
        return replayed

    def begin(suggestion: Suggestion) -> Response:
        def make(session: Session) -> tuple[str, AskRead]:
            row = external.hand_out(session, caller, study_id, suggestion)
            shown = AskRead(trial=row.number, study=study_id, params=row.params, expires_at=row.expires_at)
            return f"/v1/studies/{study_id}/trials/{row.number}", shown

        return create.make(fingerprint, make)

    return await run_in_threadpool(external.ask, request.app.state.sessions, caller, study_id, begin)


@routes.post("/v1/studies/{study_id}/trials/{trial}/report")
@allow("jobs:write")
def report_trial(study_id: StudyId, trial: Number, body: Report, caller: Caller, session: InSession) -> ReportAnswer:
    """Tell what a trial has come to at a step, and learn whether to go on; it keeps the trial's lease, too."""
    return ReportAnswer(prune=external.report(session, caller, study_id, trial, body))


@routes.post("/v1/studies/{study_id}/trials/{trial}/tell")
@allow("jobs:write")
def tell_trial(study_id: StudyId, trial: Number, body: Tell, caller: Caller, session: InSession) -> TrialRead:
    """Tell how a trial ended; telling the same again changes nothing."""
    external.tell(session, caller, study_id, trial, body)
    return _shown(session, service.get(session, caller, study_id), trial)


def _shown(session: Session, study: StudyRow, trial: int) -> TrialRead:
    rows = trials.list_page(session, study, limit=1, after=trial - 1, state=None)
    if not rows or rows[0][0].number != trial:
        raise NotFound("trial", str(trial))
    return show_trials(session, study, rows[:1], most=MOST_ALONE)[0]
