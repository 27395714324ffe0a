"""What is stored: rows of every table and files of every folder, to show that a refusal changed nothing."""

from __future__ import annotations

from fastapi import FastAPI
from sqlalchemy import func, select

from app.tables import JobRow, Table


def everything(app: FastAPI) -> dict[str, int]:
    """Number of rows by table, of blobs and unfinished uploads, and the sum of all jobs' revisions."""
    with app.state.read_sessions.begin() as session:
        found = {
            name: session.scalars(select(func.count()).select_from(table)).one()
            for name, table in Table.metadata.tables.items()
        }
        found["revisions"] = session.scalars(select(func.coalesce(func.sum(JobRow.revision), 0))).one()
    storage = app.state.storage
    found["blobs"] = sum(1 for path in storage.blobs.rglob("*") if path.is_file())
    found["incoming"] = sum(1 for _ in storage.incoming.iterdir())
    return found
