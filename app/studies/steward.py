"""A worker's care for studies: in a thread beside the claims, so it takes no job's slot and holds up none.

All it knows is in the database. Whatever is killed, the next worker that looks goes on from there; several workers
may look at one study, because each change locks it and looks again.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app.column_types import now
from app.database import Sessions
from app.errors import MaasError
from app.settings import Settings
from app.studies import journal, starting
from app.studies.planning import NO_OPTUNA
from app.studies.steering import ACTIVE, advance, lock
from app.tables import JobRow, StudyRow, TrialRow

log = logging.getLogger("maas.worker")
State = tuple[Any, ...]


class Steward:
    """Brings studies forward until it is told to leave."""

    def __init__(self, settings: Settings, sessions: Sessions, read_sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._read_sessions = read_sessions
        self._done: dict[str, State] = {}

    def run(self, leaving: threading.Event) -> None:
        """Look at all studies, again and again."""
        while not leaving.is_set():
            try:
                self.look()
            except SQLAlchemyError:
                log.exception("the database does not answer; looking at studies again")
                leaving.wait(1.0)
            leaving.wait(self._settings.poll_seconds)

    def look(self) -> None:
        """Bring forward each study in which something has happened since its last look."""
        states = self._states()
        for study_id, state in states.items():
            if self._done.get(study_id) == state:
                continue
            try:
                self._bring_forward(study_id)
            except MaasError as error:
                # A full queue, or a job that changed at the same moment: another look is all it takes.
                log.info("%s waits: %s", study_id, error.detail)
                continue
            except ModuleNotFoundError:
                self._pause(study_id, NO_OPTUNA)
            except SQLAlchemyError:
                raise
            except Exception:
                log.exception("a bug stopped %s", study_id)
                self._pause(study_id, "It could not go on; the worker's log says why.")
            self._done[study_id] = state
        self._done = {study_id: state for study_id, state in self._done.items() if study_id in states}

    def _states(self) -> dict[str, State]:
        """What a look depends on, by study: it costs one query to see that nothing has happened."""
        query = (
            select(
                StudyRow.id,
                StudyRow.revision,
                StudyRow.ends_at,
                func.count(TrialRow.number),
                func.min(TrialRow.expires_at),
                func.sum(JobRow.revision),
            )
            .outerjoin(TrialRow, (TrialRow.study_id == StudyRow.id) & (TrialRow.state == "running"))
            .outerjoin(JobRow, (JobRow.study_id == StudyRow.id) & (JobRow.trial == TrialRow.number))
            .where(StudyRow.status.in_(ACTIVE))
            .group_by(StudyRow.id, StudyRow.revision, StudyRow.ends_at)
        )
        time = now()
        with self._read_sessions.begin() as session:
            return {
                study_id: (revision, ends_at and ends_at <= time, running, expires_at and expires_at <= time, jobs)
                for study_id, revision, ends_at, running, expires_at, jobs in session.execute(query)
            }

    def _bring_forward(self, study_id: str) -> None:
        with self._sessions.begin() as session:
            study = lock(session, study_id)
            advance(session, study)
            is_ours = not study.is_external
        while is_ours and self._start_trial(study_id):
            pass

    def _start_trial(self, study_id: str) -> bool:
        suggestion = starting.suggest(self._read_sessions, study_id)
        if suggestion is None:
            return False
        with self._sessions.begin() as session:
            study = lock(session, study_id)
            if starting.is_still_good(session, study, suggestion):
                starting.submit(session, study, suggestion, self._settings)
        return True

    def _pause(self, study_id: str, reason: str) -> None:
        with self._sessions.begin() as session:
            study = lock(session, study_id)
            if study.status == "running":
                study.status, study.paused_at = "paused", now()
                session.flush()
                journal.append(session, study, "status", f"Paused. {reason}", "error", status="paused")
