"""Creates that a client may safely repeat: the answer is stored in the transaction that creates the thing.

The first statement of the transaction inserts (project, key, operation, Idempotency-Key). A second request with
the same key waits there for the first: SQLite's write lock or Postgres' unique index holds it back, and then it
finds the stored answer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from app.database import Sessions
from app.errors import Invalid
from app.principal import Principal
from app.tables import IdempotencyRow

KEY = re.compile(r"[\x21-\x7e]{1,255}")
Made = tuple[str, BaseModel]  # where the new thing is, and how it is shown


class Creation:
    """One create request: who asks, which operation, under which key."""

    def __init__(self, request: Request, key: str | None) -> None:
        self.sessions: Sessions = request.app.state.sessions
        self.principal: Principal = request.state.principal
        self.operation: str = request.scope["route"].name
        self.key = key
        if self.key is not None and not KEY.fullmatch(self.key):
            raise Invalid("An Idempotency-Key is 1 to 255 visible ASCII characters.", code="invalid-idempotency-key")

    async def run(
        self, fingerprint: bytes, make: Callable[[Session], Made], *, never_stored: frozenset[str] = frozenset()
    ) -> Response:
        """Create the thing with `make` and answer 201, or repeat the stored answer to the same request.

        Members in `never_stored`, such as the text of a key, are in the first answer only.
        """
        return await run_in_threadpool(self.make, fingerprint, make, never_stored=never_stored)

    async def replay(self, fingerprint: bytes) -> Response | None:
        """The stored answer, if there is one: for creates with expensive work before their transaction."""
        if self.key is None:
            return None
        return await run_in_threadpool(self._find, hashlib.sha256(fingerprint).hexdigest())

    def make(
        self, fingerprint: bytes, make: Callable[[Session], Made], *, never_stored: frozenset[str] = frozenset()
    ) -> Response:
        """The same as `run`, for callers that have a thread already."""
        digest = hashlib.sha256(fingerprint).hexdigest()
        try:
            with self.sessions.begin() as session:
                row = self._reserve(session, digest)
                location, shown = make(session)
                if row is not None:
                    stored = shown.model_copy(update=dict.fromkeys(never_stored))
                    row.answer = {"body": stored.model_dump_json(), "location": location}
        except IntegrityError:
            replayed = self._find(digest) if self.key else None
            if replayed is None:
                raise
            return replayed
        return _respond({"body": shown.model_dump_json(), "location": location})

    def _reserve(self, session: Session, fingerprint: str) -> IdempotencyRow | None:
        if self.key is None:
            return None
        row = IdempotencyRow(
            project_id=self.principal.project_id,
            key_id=self.principal.key_id,
            operation=self.operation,
            key=self.key,
            fingerprint=fingerprint,
        )
        session.add(row)
        session.flush()
        return row

    def _find(self, fingerprint: str) -> Response | None:
        with self.sessions.begin() as session:
            identity = (self.principal.project_id, self.principal.key_id, self.operation, self.key)
            row = session.get(IdempotencyRow, identity)
            if row is None or row.answer is None:
                return None
            if row.fingerprint != fingerprint:
                raise Invalid(
                    "This Idempotency-Key was used for another request; send a new key.",
                    code="idempotency-mismatch",
                )
            return _respond(row.answer, replayed=True)


def _respond(answer: dict[str, str], *, replayed: bool = False) -> Response:
    headers = {"location": answer["location"]} | ({"idempotency-replayed": "true"} if replayed else {})
    return Response(answer["body"], 201, headers=headers, media_type="application/json")


async def get_creation(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(description="The same request under the same key gets the same answer, and makes one thing.")
    ] = None,
) -> Creation:
    """The create that a request asks for. Raises: Invalid when its key is none."""
    return Creation(request, idempotency_key)


Create = Annotated[Creation, Depends(get_creation)]
