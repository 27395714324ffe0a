"""What is stored: rows of every table and files of every folder, to show that a refusal changed nothing."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.tables import JobRow, Table


def counting_reads(app: Any, read: list[int]) -> ASGIApp:
    """An application that notes in `read` whenever the one inside asks for a piece of the body."""

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted() -> Message:
            read.append(1)
            return await receive()

        await app(scope, counted, send)

    return counting


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
