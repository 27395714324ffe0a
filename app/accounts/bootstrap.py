"""The first start: a project and an admin key, whose text lies in one file that only its owner can read."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from app import audit
from app.accounts import service
from app.accounts.schemas import KeyCreate
from app.database import Sessions
from app.durable import write_durably
from app.principal import Principal
from app.tables import KeyRow

PROJECT = "default"
KEY_FILE = "admin.key"


def ensure_admin_key(sessions: Sessions, data_dir: Path) -> str | None:
    """Make the first admin key unless there is any key; its text, or None.

    The file comes first: a crash in between leaves a file that the next start replaces, never a key without one.
    """
    with sessions.begin() as session:
        project = service.open_project(session, PROJECT)
        audit.take_turn(session, project.id)
        if session.scalars(select(KeyRow.id).limit(1)).first() is not None:
            return None
        owner = Principal(project.id, "", frozenset({"admin"}))
        _, key = service.issue(session, owner, KeyCreate(name="first admin key", scopes=["admin"]))
        write_durably(data_dir / KEY_FILE, f"{key}\n".encode())
        return key
