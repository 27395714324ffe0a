"""`maas demo`: the whole path on real data, from an upload to predictions, on a server that stays up."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import CommandFailed, exit_codes, read_key
from app.cli_datasets import columns_table
from app.cli_jobs import ended_badly, show_metrics
from app.cli_output import say
from app.cli_predictions import show_predictions
from app.cli_progress import watch

if TYPE_CHECKING:
    from app.client import Client

top = typer.Typer()
USUAL_PORT = 8000
STOP_TIMEOUT_SECONDS = 30.0
ADDRESS_FILE, LOG_FILE = "demo.url", "server.log"
ROWS: list[dict[str, Any]] = [
    {"island": "Torgersen", "bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181,
     "body_mass_g": 3750, "sex": "male", "year": 2007},
    {"island": "Biscoe", "bill_length_mm": 47.3, "bill_depth_mm": 15.3, "flipper_length_mm": 222,
     "body_mass_g": 5250, "sex": "male", "year": 2007},
    {"island": "Iceland", "bill_length_mm": 49.5, "flipper_length_mm": 200, "body_mass_g": 3800, "year": 2008},
]  # fmt: skip


@top.command()
def demo(
    folder: Annotated[Path, typer.Option("--data-dir", help="Data folder of the demo.")] = Path("maas-demo"),
    port: Annotated[int | None, typer.Option("--port", help="Port; default: 8000, or a free one.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Stop the server after the walk.")] = False,
) -> None:
    """Start a server, upload the Palmer penguins, train, evaluate, predict, and stay up until Ctrl-C."""
    with exit_codes(), running_server(folder, port) as (url, process):
        from app.client import Client

        with Client(url, read_key(folder / "admin.key")) as client:
            walk(client)
        say_addresses(url, folder)
        if process is None:
            say("The server runs in another process, which keeps it up.")
        elif not leave:
            stay_up(process)


def walk(client: "Client") -> None:
    """Upload, look, train, evaluate, predict; every step is one call that the README shows with curl."""
    file = example()
    say(f"\n1. Upload {file.name}")
    dataset = client.upload(file, name="penguins")
    say(f"   {dataset['num_rows']} rows, version {dataset['version']} of data set 'penguins', {dataset['id']}\n")
    say("2. The columns, with the types that were found in it")
    columns_table(dataset["columns"])
    say("3. Train to tell the species, in the background: linear models and networks, averaged")
    job = client.post("/v1/jobs", {"dataset": dataset["id"], "target": "species", "model": "penguins"})
    job = watch(client, job["id"])
    reason = ended_badly(job)
    if reason is not None:
        raise CommandFailed(reason)
    say(f"\n4. {job['model_version']}, measured on rows that it has not seen")
    show_metrics(job["metrics"])
    say("5. Predict three rows: two that are complete, one with values missing and an island nobody has seen")
    answer = client.post(f"/v1/models/{job['model_version']}/predict", {"rows": ROWS})
    show_predictions(answer)


def example() -> Path:
    """The data set of the demo: inside the installed package, or in a checkout."""
    packaged = Path(__file__).parent / "examples" / "penguins.csv"
    return packaged if packaged.exists() else Path(__file__).parents[1] / "examples" / "penguins.csv"


@contextmanager
def running_server(folder: Path, port: int | None) -> "Iterator[tuple[str, subprocess.Popen[str] | None]]":
    """The address of a server on this data folder, and its process if it was started here and will be stopped.

    Raises: CommandFailed when none can be started.
    """
    found = find_running(folder)
    if found is not None:
        say(f"Using the server at {found}")
        yield found, None
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = port if port is not None else USUAL_PORT if is_free(USUAL_PORT) else 0
    signal.signal(signal.SIGTERM, _leave_by_exit)
    process = start_server(folder, chosen)
    try:
        yield read_address(process, folder), process
    finally:
        (folder / ADDRESS_FILE).unlink(missing_ok=True)
        process.terminate()
        process.wait(STOP_TIMEOUT_SECONDS)


def find_running(folder: Path) -> str | None:
    """The address of a demo that is up on this folder."""
    from app.client import Client, ClientError, Unreachable

    try:
        url = (folder / ADDRESS_FILE).read_text().strip()
        with Client(url, read_key(folder / "admin.key")) as client:
            client.get("/v1/datasets", limit=1)
    except (OSError, CommandFailed, ClientError, Unreachable):
        return None
    return url


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_server(folder: Path, port: int) -> "subprocess.Popen[str]":
    """`maas serve` as a child, with its log in the data folder."""
    say(f"Starting a server; its data and its log are in {folder}")
    command = ["serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder)]
    with (folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "app.cli", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"MAAS_EMBEDDED_WORKER": "true"},
        )


def read_address(process: "subprocess.Popen[str]", folder: Path) -> str:
    """The address that the server announces. Raises: CommandFailed when it ends instead."""
    from app.client import Client

    line = process.stdout.readline() if process.stdout else ""
    if "http://" not in line:
        process.wait(STOP_TIMEOUT_SECONDS)
        lines = (folder / LOG_FILE).read_text().splitlines()
        raise CommandFailed(f"the server did not start: {lines[-1] if lines else 'it said nothing'}")
    url = line[line.index("http://") :].strip()
    with Client(url) as client:
        client.get("/readyz")
    (folder / ADDRESS_FILE).write_text(url + "\n")
    return url


def say_addresses(url: str, folder: Path) -> None:
    """What to look at now."""
    body = shlex.quote(json.dumps({"rows": ROWS[:1]}))
    key = f'-H "Authorization: Bearer $(cat {shlex.quote(str(folder / "admin.key"))})"'
    json_type = "-H 'Content-Type: application/json'"
    say(f"Look at   {url}/docs            every call, with examples")
    say(f"          {url}/openapi.json    the same for programs")
    say("\nCall it   (the key is in a file that only you can read)")
    say(f"  curl {key} {url}/v1/models/penguins/versions")
    say(f"  curl {key} {json_type} \\\n    -d {body} \\\n    {url}/v1/models/penguins/predict\n")


def stay_up(process: "subprocess.Popen[str]") -> None:
    """Wait for Ctrl-C. Raises: CommandFailed when the server ends by itself."""
    say("The server stays up. Ctrl-C stops it.")
    try:
        process.wait()
        raise CommandFailed("the server has ended; its log is in the data folder")
    except KeyboardInterrupt:
        say("\nStopping.")


def _leave_by_exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
