"""Migrations: from nothing to tables.py and back, on both databases, however many start at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from app import database
from app.column_types import now
from app.database import Engine
from app.tables import JobRow, ProjectRow, Table
from tests.postgres import Postgres

ROOT = Path(__file__).parents[1]
MIGRATE = "import sys; from app import database; e = database.connect(sys.argv[1]); database.migrate(e); e.dispose()"


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table."""
    if request.config.getoption("--database") == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        with server.fresh_database(empty=True) as url:
            yield url
    else:
        yield f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    """An engine on a database without a table."""
    engine = database.connect(empty_url)
    yield engine
    engine.dispose()


def alembic(engine: Engine, action: str, revision: str) -> None:
    """Run a command of Alembic as an operator would."""
    config = Config()
    config.set_main_option("script_location", str(database.migrations_folder()))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        getattr(command, action)(config, revision)


def guards(engine: Engine) -> set[str]:
    """The names of all triggers."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if engine.dialect.name == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with engine.connect() as connection:
        return set(connection.execute(text(query)).scalars())


def test_from_nothing_to_the_newest_equals_the_tables(empty: Engine) -> None:
    assert not database.is_current(empty)
    database.migrate(empty)
    assert database.is_current(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": database.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Table.metadata) == []


def test_every_way_back_leads_to_nothing_and_forward_again(empty: Engine) -> None:
    database.migrate(empty)
    triggers = guards(empty)
    alembic(empty, "downgrade", "base")
    assert set(inspect(empty).get_table_names()) <= {database.VERSION_TABLE}
    assert guards(empty) == set()
    alembic(empty, "upgrade", "head")
    assert guards(empty) == triggers
    assert database.is_current(empty)


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(ProjectRow.__table__.insert().values(id="proj_1", name="p", created_at=now()))
    database.migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM projects")).scalar_one() == 1


def test_processes_that_migrate_at_once_all_succeed(empty_url: str, empty: Engine) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    complaints = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 3, complaints
    assert database.is_current(empty)


def test_names_begin_with_their_date() -> None:
    names = [path.name for path in (database.migrations_folder() / "versions").glob("*.py")]
    assert names
    assert all(database.NUMBER_OF_REVISION.match(name) for name in names)


@pytest.mark.parametrize("ended", ["succeeded", "failed", "cancelled"])
def test_the_database_itself_keeps_ended_jobs_ended(engine: Engine, ended: str) -> None:
    with database.sessions(engine).begin() as session:
        session.add(ProjectRow(id="proj_1", name="p", created_at=now()))
        session.flush()
        session.add(
            JobRow(
                id="job_1", project_id="proj_1", kind="train", status=ended, plan={}, digests={}, limits={}, progress={}
            )
        )
    for status in ("queued", "running", "paused"):
        with pytest.raises(DBAPIError, match="keeps its status"), engine.begin() as connection:
            connection.execute(text("UPDATE jobs SET status = :s"), {"s": status})
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET status = :s, phase = 'x'"), {"s": ended})
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET status = 'elsewhere'"))
