"""A study watched from outside, by polls that are held and as a stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from app import following
from app.database import Sessions
from app.following import Look
from app.principal import Principal
from app.studies import journal, service, trials
from app.studies.planning import plan_of
from app.studies.schemas import StudyEventRead
from app.studies.steering import ACTIVE
from app.tables import StudyRow


async def wait_until_done(sessions: Sessions, principal: Principal, study_id: str, *, seconds: float) -> StudyRow:
    """The study once it has ended, or as it is after `seconds`. Raises: NotFound."""

    def read() -> StudyRow:
        with sessions.begin() as session:
            return service.get(session, principal, study_id)

    return await following.wait_until(read, lambda study: study.status not in ACTIVE, seconds=seconds)


def stream(
    sessions: Sessions,
    principal: Principal,
    study_id: str,
    *,
    after: int,
    still_allowed: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """The study's events after a number as server-sent events, with the number of ended trials in between."""

    def look(after: int) -> Look:
        with sessions.begin() as session:
            # The study first: an event that comes between the two reads is then one too many, never one too few.
            study = service.get(session, principal, study_id)
            rows = journal.list_events(session, study_id, after=after, limit=following.PAGE)
            events = [StudyEventRead.model_validate(row, from_attributes=True) for row in rows]
            counts = trials.counts(session, [study_id]).get(study_id, {})
            num_trials = plan_of(study).num_trials
            num_ended = sum(counts.values()) - counts.get("running", 0)
            progress = {"num_ended": num_ended, "num_trials": num_trials, "fraction": num_ended / num_trials}
            return Look(study.id, study.status, study.revision, study.status not in ACTIVE, progress, events)

    return following.stream(look, after=after, still_allowed=still_allowed)
