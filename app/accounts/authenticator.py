"""Keys in memory, for at most a second: so a request costs no query and a revoked key stops within that second."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy.exc import SQLAlchemyError

from app.accounts import service
from app.database import Sessions
from app.principal import Principal
from app.remembering import Remembered


class Authenticator:
    """Finds the principal of a token; one per API process."""

    def __init__(self, sessions: Sessions, read_sessions: Sessions) -> None:
        self._sessions = sessions
        self._read_sessions = read_sessions
        self._principals: Remembered[bytes, Principal] = Remembered()
        self._noted: dict[str, float] = {}

    async def __call__(self, token: str, request_id: str) -> Principal:
        """The principal. Raises: Unauthenticated."""
        known = await self._principals.get(_digest(token), self._load, token)
        return Principal(known.project_id, known.key_id, known.scopes, known.model, request_id)

    def remembered(self, token: str) -> Principal | None:
        """The principal, if it was found less than a second ago."""
        return self._principals.find(_digest(token), self._load, token)

    async def settle(self) -> None:
        """Wait for the looks at the database that are under way."""
        await self._principals.settle()

    def _load(self, token: str) -> Principal:
        key_id, secret = service.split_token(token)
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


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
