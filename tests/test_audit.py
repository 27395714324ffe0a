"""The audit trail: written with the change, chained, and impossible to change quietly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient

from app import audit
from app.principal import Principal
from app.tables import AuditRow

KEY = {"name": "k", "scopes": ["read"]}


@pytest.fixture
def entries(client: TestClient) -> list[dict[str, object]]:
    """The trail after a few changes."""
    made = [client.post("/v1/keys", json=KEY, headers={"x-request-id": f"r{n}"}).json()["id"] for n in range(3)]
    client.delete(f"/v1/keys/{made[0]}", headers={"x-request-id": "r3"})
    found: list[dict[str, object]] = client.get("/v1/audit").json()["data"]
    return found


def forge(app: FastAPI, statement: object) -> None:
    """Change the trail as somebody could who owns the database."""
    with app.state.engine.begin() as connection:
        if app.state.engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_keeps_rows"))
            connection.execute(text("DROP TRIGGER audit_keeps_values"))
        else:
            connection.execute(text("DROP TRIGGER audit_only_grows ON audit"))
        connection.execute(statement)


def first_fault(app: FastAPI, owner: Principal) -> int | None:
    """Where the chain is broken."""
    with app.state.read_sessions.begin() as session:
        return audit.verify(session, owner.project_id)


def test_every_change_is_in_the_trail(entries: list[dict[str, object]]) -> None:
    last = entries[-4:]
    assert [entry["action"] for entry in last] == ["key.create"] * 3 + ["key.revoke"]
    assert [entry["request_id"] for entry in last] == ["r0", "r1", "r2", "r3"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert all(entry["key_id"] for entry in last)


def test_each_entry_covers_the_one_before(app: FastAPI, entries: list[dict[str, object]], owner: Principal) -> None:
    assert entries[0]["previous_sha256"] == audit.BEGINNING
    for before, entry in pairwise(entries):
        assert entry["previous_sha256"] == before["sha256"]
    assert first_fault(app, owner) is None


@pytest.mark.parametrize(
    "values",
    [
        {"action": "nothing"},
        {"object": "elsewhere"},
        {"data": {}},
        {"key_id": None},
        {"request_id": "x"},
        {"outcome": "x"},
        {"sha256": "0" * 64},
        {"previous_sha256": "0" * 64},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_changed_entry_is_found(
    app: FastAPI, owner: Principal, entries: list[dict[str, object]], values: dict[str, object]
) -> None:
    forge(app, update(AuditRow).where(AuditRow.seq == 3).values(**values))
    assert first_fault(app, owner) == 3


def test_a_missing_entry_is_found(app: FastAPI, owner: Principal, entries: list[dict[str, object]]) -> None:
    forge(app, delete(AuditRow).where(AuditRow.seq == 2))
    assert first_fault(app, owner) == 2


@pytest.mark.parametrize("statement", [update(AuditRow).values(action="x"), delete(AuditRow)], ids=["update", "delete"])
def test_the_database_refuses_to_change_the_trail(
    app: FastAPI, entries: list[dict[str, object]], statement: object
) -> None:
    with pytest.raises(DBAPIError, match="only grows"), app.state.engine.begin() as connection:
        connection.execute(statement)


def test_a_change_that_fails_leaves_no_entry(app: FastAPI, client: TestClient) -> None:
    before = len(client.get("/v1/audit").json()["data"])
    client.post("/v1/keys", json=KEY | {"scopes": ["nothing"]})
    client.delete("/v1/keys/" + "a" * 16)
    assert len(client.get("/v1/audit").json()["data"]) == before


def test_every_project_has_its_own_chain(
    app: FastAPI, client: TestClient, stranger: dict[str, str], entries: list[dict[str, object]]
) -> None:
    client.post("/v1/keys", json=KEY, headers=stranger)
    other = client.get("/v1/audit", headers=stranger).json()["data"]
    assert [entry["seq"] for entry in other] == list(range(1, len(other) + 1))
    with app.state.read_sessions.begin() as session:
        projects = set(session.scalars(select(AuditRow.project_id)))
        assert [audit.verify(session, project) for project in projects] == [None] * len(projects)
