"""Jobs in the database, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.accounts import service as accounts
from app.database import Sessions
from app.ids import new_id
from app.jobs import journal
from app.tables import JobRow

Insert = Callable[..., str]


@pytest.fixture
def project(sessions: Sessions) -> str:
    """The id of a project."""
    with sessions.begin() as session:
        return accounts.open_project(session, "default").id


@pytest.fixture
def insert(sessions: Sessions, project: str) -> Insert:
    """Inserts a queued job."""

    def make(**values: Any) -> str:
        row = JobRow(
            id=new_id("job"),
            project_id=project,
            kind="train",
            status="queued",
            model="m",
            plan={},
            digests={},
            limits={},
            progress={},
            **values,
        )
        with sessions.begin() as session:
            session.add(row)
            session.flush()
            journal.append(session, row.id, [journal.event("status", "Queued.", status="queued")])
        return row.id

    return make
