"""Connections: durable on SQLite, durable or refused on Postgres, and writers that never meet half-way."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from app import database
from app.column_types import now
from app.database import DatabaseError, Engine, Sessions
from app.settings import Settings
from app.tables import KeyRow, ProjectRow
from tests.postgres import Postgres


@pytest.fixture
def sqlite_only(request: pytest.FixtureRequest) -> None:
    """Skips the test on Postgres."""
    if request.config.getoption("--database") != "sqlite":
        pytest.skip("about SQLite")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Postgres:
    """The Postgres server, where the suite runs on one."""
    if request.config.getoption("--database") != "postgres":
        pytest.skip("about Postgres")
    started: Postgres = request.getfixturevalue("postgres")
    return started


def pragma(engine: Engine, name: str) -> str:
    """The value of a pragma on a fresh connection."""
    with engine.connect() as connection:
        return str(connection.execute(text(f"PRAGMA {name}")).scalar_one())


@pytest.mark.usefixtures("sqlite_only")
def test_sqlite_commits_survive_power_loss(engine: Engine) -> None:
    if sqlite3.sqlite_version_info < database.SAFE_WAL_VERSION:
        assert (pragma(engine, "journal_mode"), pragma(engine, "synchronous")) == ("delete", "3")
    else:
        assert (pragma(engine, "journal_mode"), pragma(engine, "synchronous")) == ("wal", "2")
    assert pragma(engine, "foreign_keys") == "1"
    assert int(pragma(engine, "busy_timeout")) >= 5000


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize("version", [(3, 40, 1), (3, 51, 2), (3, 51, 3), (3, 60, 0)])
def test_wal_is_used_only_where_it_does_not_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    engine = database.connect(f"sqlite:///{tmp_path / 'x.db'}")
    settings = (pragma(engine, "journal_mode"), pragma(engine, "synchronous"))
    engine.dispose()
    assert settings == (("wal", "2") if version >= (3, 51, 3) else ("delete", "3"))


@pytest.mark.usefixtures("sqlite_only")
def test_a_writer_takes_the_lock_when_it_begins(sessions: Sessions, engine: Engine) -> None:
    with sessions.begin() as session:
        session.execute(text("SELECT 1"))
        with engine.connect() as other, pytest.raises(OperationalError, match="locked"):
            other.connection.driver_connection.execute("PRAGMA busy_timeout=10")  # type: ignore[union-attr]
            other.execute(text("SELECT 1"))


@pytest.mark.usefixtures("sqlite_only")
def test_a_reader_waits_for_nobody(sessions: Sessions, engine: Engine) -> None:
    readers = database.sessions(engine, read_only=True)
    with sessions.begin() as writer:
        writer.add(ProjectRow(id="proj_1", name="p", created_at=now()))
        writer.flush()
        with readers.begin() as reader:
            assert reader.get(ProjectRow, "proj_1") is None


def test_writers_that_read_first_never_lose_an_update(sessions: Sessions, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))

    def count() -> None:
        for _ in range(10):
            with sessions.begin() as session:
                n = session.execute(text("SELECT n FROM counter" + lock)).scalar_one()
                session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    lock = " FOR UPDATE" if engine.dialect.name == "postgresql" else ""
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 40


def test_a_row_cannot_name_one_that_is_not_there(sessions: Sessions) -> None:
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(
            KeyRow(id="k" * 16, project_id="proj_none", name="k", secret_sha256=b"x", scopes=[], created_at=now())
        )


def test_times_come_back_in_utc_and_naive_ones_are_refused(sessions: Sessions) -> None:
    moment = now()
    with sessions.begin() as session:
        session.add(ProjectRow(id="proj_1", name="p", created_at=moment))
    with sessions.begin() as session:
        assert session.get_one(ProjectRow, "proj_1").created_at == moment
    with pytest.raises(Exception, match="without a zone"), sessions.begin() as session:
        session.add(ProjectRow(id="proj_2", name="q", created_at=moment.replace(tzinfo=None)))


def test_an_acknowledged_commit_survives_kill(settings: Settings, engine: Engine) -> None:
    program = (
        "import os, signal, sys; from sqlalchemy import event, text; from app import database\n"
        "engine = database.connect(sys.argv[1])\n"
        "insert = text(\"INSERT INTO projects VALUES ('proj_k', 'k', '2026-01-01 00:00:00')\")\n"
        "with engine.begin() as connection: connection.execute(insert)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", program, settings.url], cwd=root, check=False).returncode == -9
    with database.sessions(engine).begin() as session:
        assert session.get(ProjectRow, "proj_k") is not None


@pytest.mark.parametrize("option", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_postgres_that_would_lose_writes_is_refused(server: Postgres, option: str) -> None:
    with server.fresh_database() as url:
        with server.configured(**{option: "off"}), pytest.raises(DatabaseError, match=f"set {option}=off to on"):
            database.connect(url)
        engine = database.connect(url)
        assert database.describe(engine)[option] != "off"
        engine.dispose()


def test_a_postgres_that_came_back_is_used_again(server: Postgres) -> None:
    with server.fresh_database() as url:
        engine = database.connect(url)
        with engine.connect() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        server.execute(f"SELECT pg_terminate_backend({pid})")
        time.sleep(0.1)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        engine.dispose()


def test_a_connection_in_use_is_closed_once_it_is_given_back(settings: Settings) -> None:
    engine = database.connect(settings.url)
    closed, taken = [], threading.Event()
    event.listen(engine, "close", lambda connection, _: closed.append(connection))

    def look() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            taken.set()
            time.sleep(0.3)

    thread = threading.Thread(target=look)
    thread.start()
    assert taken.wait(10)
    database.close(engine)
    thread.join()
    assert closed


@pytest.mark.usefixtures("sqlite_only")
def test_a_missing_driver_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseError, match=r"pip install 'maas\[postgres\]'"):
        database.connect("postgresql+psycopg://nobody@/x")


def test_the_settings_that_matter_are_described(engine: Engine) -> None:
    described = database.describe(engine)
    if engine.dialect.name == "sqlite":
        assert described["synchronous"] in ("2", "3")
    else:
        assert described["fsync"] == described["full_page_writes"] == "on"
