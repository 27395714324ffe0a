"""Engine, sessions and migrations; the only file that tells SQLite from Postgres."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

# Below this version SQLite's WAL mode can corrupt a database (the WAL-reset bug).
SAFE_WAL_VERSION = (3, 51, 3)
VERSION_TABLE = "maas_alembic_version"
NUMBER_OF_REVISION = re.compile(r"^(\d{4}_\d{2}_\d{2}_\w+)\.py$")


class DatabaseError(Exception):
    """The database cannot be trusted or used; the message says which setting to change."""


Sessions = sessionmaker[Session]


def connect(url: str) -> Engine:
    """An engine whose commits survive power loss.

    Raises: DatabaseError when the server runs without durable commits or the driver is missing.
    """
    try:
        is_sqlite = make_url(url).get_backend_name() == "sqlite"
        engine = (
            create_engine(url, pool_size=20, max_overflow=40, connect_args={"check_same_thread": False, "timeout": 15})
            if is_sqlite
            else create_engine(url, pool_size=20, max_overflow=40, pool_pre_ping=True)
        )
    except ModuleNotFoundError as error:
        raise DatabaseError(f"{error.name} is not installed; Postgres needs `pip install 'maas[postgres]'`.") from None
    if is_sqlite:
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    else:
        _refuse_lossy_postgres(engine)
    return engine


def sessions(engine: Engine, *, read_only: bool = False) -> Sessions:
    """A session factory; reading ones do not take SQLite's only write lock."""
    bind = engine.execution_options(read_only=True) if read_only else engine
    return sessionmaker(bind, expire_on_commit=False)


def _set_pragmas(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None
    wal = sqlite3.sqlite_version_info >= SAFE_WAL_VERSION
    for pragma in (
        f"journal_mode={'WAL' if wal else 'DELETE'}",
        f"synchronous={'FULL' if wal else 'EXTRA'}",
        "foreign_keys=ON",
        "mmap_size=0",
        "busy_timeout=15000",
        "cell_size_check=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later can fail with "database is locked" whatever
    # the timeout, so writers take the lock when they begin.
    reads = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _refuse_lossy_postgres(engine: Engine) -> None:
    with engine.connect() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("fsync", "full_page_writes", "synchronous_commit")
        }
    lossy = [f"{name}={value}" for name, value in shown.items() if value == "off"]
    if lossy:
        engine.dispose()
        raise DatabaseError(f"Postgres would lose acknowledged writes: set {', '.join(lossy)} to on.")


def close(engine: Engine, *, wait_seconds: float = 5.0) -> None:
    """Close all connections; those in use, as by a thread whose caller was cancelled, when they are given back.

    What is given back to a pool after `dispose` is left to the garbage collector, which closes nothing in good order.
    """
    last = time.monotonic() + wait_seconds
    while isinstance(engine.pool, QueuePool) and engine.pool.checkedout() and time.monotonic() < last:
        time.sleep(0.005)
    engine.dispose()


def describe(engine: Engine) -> dict[str, str]:
    """The settings that durability rests on, as the server reports them."""
    names = (
        ("journal_mode", "synchronous", "foreign_keys", "mmap_size", "busy_timeout")
        if engine.dialect.name == "sqlite"
        else ("server_version", "fsync", "full_page_writes", "synchronous_commit")
    )
    verb = "PRAGMA" if engine.dialect.name == "sqlite" else "SHOW"
    with engine.execution_options(read_only=True).connect() as connection:
        return {name: str(connection.execute(text(f"{verb} {name}")).scalar_one()) for name in names}


def migrations_folder() -> Path:
    """Where the migrations lie: inside the installed package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "migrations"


def is_current(engine: Engine) -> bool:
    """Whether the newest migration has run; cheap enough for each start and each readiness probe."""
    files = (NUMBER_OF_REVISION.match(path.name) for path in (migrations_folder() / "versions").iterdir())
    newest = max(match.group(1) for match in files if match)
    with engine.execution_options(read_only=True).connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return False
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == newest


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest migration; does nothing, quickly, when it is there."""
    if is_current(engine):
        return
    # Alembic costs a third of a second and 15 MB: only a start that has something to migrate pays.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7310583)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
