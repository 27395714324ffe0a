"""The `maas` command: serve, work, and everything a client can ask for."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app import (
    cli_datasets,
    cli_demo,
    cli_doctor,
    cli_evaluations,
    cli_jobs,
    cli_keys,
    cli_models,
    cli_predictions,
    cli_specs,
    cli_studies,
    cli_traffic,
)
from app.cli_command import REFUSED, USAGE
from app.cli_output import complain

if TYPE_CHECKING:
    from app.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Train and serve models over HTTP.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings, 3 no server there, 130 interrupted.",
)
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of database, bytes and first key.")]


def print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from app import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Train and serve models over HTTP."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 picks a free one.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Number of API processes; default 1.")] = None,
    data_dir: DataDir = None,
    listener: Annotated[int | None, typer.Option("--listener", hidden=True)] = None,
) -> None:
    """Start the server, with a worker unless MAAS_EMBEDDED_WORKER=false; every setting is also a MAAS_ variable."""
    with settings_or_exit(host=host, port=port, workers=workers, data_dir=data_dir) as settings:
        # What these imports make stays for good: looking for garbage among it is a tenth of the start.
        gc.disable()
        from app.serve import serve, serve_api

        gc.enable()
        if listener is None:
            serve(settings)
        else:
            import socket

            end_with_parent()
            serve_api(settings, socket.socket(fileno=listener))


@app.command()
def worker(
    data_dir: DataDir = None, embedded: Annotated[bool, typer.Option("--embedded", hidden=True)] = False
) -> None:
    """Start a worker beside servers that share its database and data folder."""
    with settings_or_exit(data_dir=data_dir) as settings:
        from app.worker import main

        main(settings, with_parent=embedded)


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to the schema of this version; `serve` and `worker` do so themselves."""
    with settings_or_exit(data_dir=data_dir) as settings:
        from app import database

        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = database.connect(settings.url)
        database.migrate(engine)
        engine.dispose()


for commands in (cli_jobs.top, cli_evaluations.top, cli_predictions.top, cli_demo.top, cli_doctor.top):
    app.add_typer(commands)
app.add_typer(cli_datasets.group, name="datasets")
app.add_typer(cli_specs.group, name="specs")
app.add_typer(cli_jobs.group, name="jobs")
app.add_typer(cli_studies.group, name="studies")
app.add_typer(cli_models.models, name="models")
app.add_typer(cli_traffic.aliases, name="aliases")
app.add_typer(cli_traffic.gates, name="gates")
app.add_typer(cli_traffic.shadows, name="shadows")
app.add_typer(cli_keys.group, name="keys")


@contextmanager
def settings_or_exit(**given: object) -> "Iterator[Settings]":
    """The settings for a process of ours; what keeps it from running is told without a traceback."""
    import logging

    from app.database import DatabaseError
    from app.settings import SettingsError, load

    try:
        settings = load(None, **given)
        logging.getLogger("alembic.runtime.plugins").setLevel("WARNING")
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
        yield settings
    except SettingsError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    except DatabaseError as error:
        complain(str(error))
        raise typer.Exit(REFUSED) from None


def end_with_parent() -> None:
    """Have this process stop when its parent does: standard input is a pipe that the parent holds open."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Run the command line."""
    app(prog_name="maas")


if __name__ == "__main__":
    main()
