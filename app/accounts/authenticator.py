"""Keys in memory, for at most a second: so a request costs no query and a revoked key stops within that second."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from app.accounts import service
from app.database import Sessions
from app.principal import Principal

TRUSTED_SECONDS = 0.8
MAX_REMEMBERED = 4096


class Authenticator:
    """Finds the principal of a token; one per API process."""

    def __init__(self, sessions: Sessions, read_sessions: Sessions) -> None:
        self._sessions = sessions
        self._read_sessions = read_sessions
        self._remembered: dict[bytes, tuple[float, Principal]] = {}
        self._noted: dict[str, float] = {}

    async def __call__(self, token: str, request_id: str) -> Principal:
        """The principal. Raises: Unauthenticated."""
        digest = hashlib.sha256(token.encode()).digest()
        found = self._remembered.get(digest)
        if found is None or time.monotonic() - found[0] > TRUSTED_SECONDS:
            key_id, secret = service.split_token(token)
            asked = time.monotonic()
            principal = await run_in_threadpool(self._load, key_id, secret)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[digest] = (asked, principal)
        known = found[1]
        return Principal(known.project_id, known.key_id, known.scopes, known.model, request_id)

    def _load(self, key_id: str, secret: str) -> Principal:
        with self._read_sessions.begin() as session:
            principal = service.authenticate(session, key_id, secret)
        if time.monotonic() - self._noted.get(key_id, -1e9) > service.USE_IS_NOTED_EVERY.total_seconds():
            self._noted[key_id] = time.monotonic()
            self._note_use(key_id)
        return principal

    def _note_use(self, key_id: str) -> None:
        try:
            with self._sessions.begin() as session:
                service.note_use(session, key_id)
        except SQLAlchemyError:
            # A busy database must not refuse a good key for want of a statistic; the next minute tries again.
            return
