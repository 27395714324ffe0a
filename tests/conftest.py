"""What tests share: a fresh database and folder for each, on SQLite or on a real Postgres, and real servers."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import database
from app.accounts import service as accounts
from app.accounts.bootstrap import ensure_admin_key
from app.accounts.schemas import KeyCreate
from app.main import create_app
from app.principal import Principal
from app.settings import Settings, load
from tests.jobs.runs import SOON
from tests.postgres import Postgres
from tests.processes import Server
from tests.trained import Trained, store_dataset, store_version, train_penguins

ROOT = Path(__file__).parents[1]
# The fixtures through which tests come to a database, directly or not.
SEEING = {"database_url", "empty_url", "postgres", "serve", "steady"}
PENGUINS = ROOT / "examples" / "penguins.csv"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=["sqlite", "postgres"], default="sqlite", help="what the suite runs on")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What never sees a database is tested once, on SQLite's turn."""
    if config.getoption("--database") == "postgres":
        seeing = [item for item in items if SEEING & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=[item for item in items if item not in seeing])
        items[:] = seeing


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A Postgres server of this test session, with a migrated database to copy."""
    with Postgres.started(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: alembic runs once, not once a test."""
    path = tmp_path_factory.mktemp("template") / "maas.db"
    engine = database.connect(f"sqlite:///{path}")
    database.migrate(engine)
    engine.dispose()
    return path


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database of the kind the suite runs on."""
    if request.config.getoption("--database") == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        with server.fresh_database() as url:
            yield url
    else:
        folder = tmp_path / "data"
        folder.mkdir(mode=0o700)
        shutil.copy(request.getfixturevalue("migrated"), folder / "maas.db")
        yield f"sqlite:///{folder / 'maas.db'}"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings with a fresh folder and database."""
    return load(environ={}, data_dir=tmp_path / "data", database_url=database_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[database.Engine]:
    """An engine on the fresh database."""
    engine = database.connect(settings.url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: database.Engine) -> database.Sessions:
    """A session factory on the fresh database."""
    return database.sessions(engine)


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    """The application in this process, without a worker."""
    app = create_app(settings)
    yield app
    database.close(app.state.engine)


@pytest.fixture
def admin_key(app: FastAPI, settings: Settings) -> str:
    """The first admin key."""
    key = ensure_admin_key(app.state.sessions, settings.data_dir)
    assert key is not None
    return key


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """A client without a key; a bug in the server shows as an answer 500, as it does to users."""
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient, admin_key: str) -> TestClient:
    """A client with the admin key."""
    anonymous.headers["authorization"] = f"Bearer {admin_key}"
    return anonymous


@pytest.fixture
def new_key(client: TestClient) -> Callable[..., dict[str, str]]:
    """Makes a key and answers the header that shows it."""

    def make(*scopes: str, **more: Any) -> dict[str, str]:
        answer = client.post("/v1/keys", json={"name": "test", "scopes": list(scopes), **more})
        assert answer.status_code == 201, answer.text
        return {"authorization": f"Bearer {answer.json()['key']}"}

    return make


@pytest.fixture
def penguins(client: TestClient) -> dict[str, Any]:
    """The penguins as an uploaded data set."""
    answer = client.post(
        "/v1/datasets?name=penguins", content=PENGUINS.read_bytes(), headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    dataset: dict[str, Any] = answer.json()
    return dataset


@pytest.fixture
def owner(client: TestClient, app: FastAPI) -> Principal:
    """Who the client is."""
    return _principal(app, client.headers["authorization"])


@pytest.fixture
def stranger(client: TestClient, app: FastAPI) -> dict[str, str]:
    """The header of an admin key of another project."""
    with app.state.sessions.begin() as session:
        project = accounts.open_project(session, "another")
        nobody = Principal(project.id, "", frozenset({"admin"}))
        _, key = accounts.issue(session, nobody, KeyCreate(name="stranger", scopes=["admin"]))
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The penguins and a classifier of them, made once."""
    return train_penguins(PENGUINS, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def dataset_id(app: FastAPI, owner: Principal, trained: Trained) -> str:
    """The id of the penguins, stored without an upload."""
    return store_dataset(app, owner, trained)


@pytest.fixture
def version(app: FastAPI, owner: Principal, trained: Trained, dataset_id: str) -> int:
    """The first version of the model penguins."""
    return store_version(app, owner, trained, dataset_id)


def _principal(app: FastAPI, authorization: str) -> Principal:
    key_id, secret = accounts.split_token(authorization.removeprefix("Bearer "))
    with app.state.read_sessions.begin() as session:
        return accounts.authenticate(session, key_id, secret)


@pytest.fixture
def serve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Starts real `maas serve` processes; each is ended with the test."""
    servers: list[Server] = []
    is_postgres = request.config.getoption("--database") == "postgres"

    def start(**environment: str) -> Server:
        if is_postgres:
            environment = {"MAAS_DATABASE_URL": request.getfixturevalue("database_url"), **environment}
        server = Server(tmp_path / "served", environment)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def serve_stored(settings: Settings) -> Iterator[Callable[..., Server]]:
    """Starts `maas serve` with options, over what the test has stored in this process."""
    servers: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        server = Server(settings.data_dir, {"MAAS_DATABASE_URL": settings.url, **environment})
        servers.append(server)
        return server.start(*options)

    yield start
    for server in servers:
        server.end()


@pytest.fixture(scope="session")
def steady(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for all tests that do it no harm; it beats and checkpoints often."""
    with contextlib.ExitStack() as stack:
        environment = dict(SOON)
        if request.config.getoption("--database") == "postgres":
            server: Postgres = request.getfixturevalue("postgres")
            environment["MAAS_DATABASE_URL"] = stack.enter_context(server.fresh_database())
        running = Server(tmp_path_factory.mktemp("steady") / "data", environment)
        stack.callback(running.end)
        yield running.start()
