"""`maas datasets`: upload, list, show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import INTERRUPTED, CommandFailed, Limit, ask
from app.cli_output import console, record, table
from app.cli_progress import display

if TYPE_CHECKING:
    from app.client import Client

group = typer.Typer(no_args_is_help=True, help="Uploaded tables.")
columns_table = table("name", "type", "num_missing", "num_distinct", "examples", title="Columns")


def show_dataset(dataset: dict[str, Any]) -> None:
    """A data set with its typed columns."""
    record("id", "name", "version", "status", "format", "num_rows", "size_bytes", "sha256", "created_at")(dataset)
    columns_table(dataset["columns"])


def _why_failed(dataset: dict[str, Any]) -> str | None:
    error = dataset.get("error") or {}
    return str(error.get("message", "the table could not be read")) if dataset["status"] == "failed" else None


@ask(group, "upload", show=show_dataset, failure=_why_failed)
def upload_dataset(
    client: "Client",
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, TSV, JSON Lines, JSON or Parquet.")],
    name: Annotated[str | None, typer.Option("--name", help="Name; default: that of the file.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Id of an interrupted upload to go on with.")] = None,
) -> Any:
    """Upload a table; the same name again makes a new version. A large file can be taken up again."""
    return upload(client, file, name, resume)


@ask(group, "list", show=table("id", "name", "version", "status", "num_rows", "size_bytes", "created_at"))
def list_datasets(
    client: "Client",
    name: Annotated[str | None, typer.Option("--name", help="Only versions of this name.")] = None,
    limit: Limit = 20,
) -> Any:
    """List data sets, newest first."""
    return client.pages("/v1/datasets", limit=limit, name=name)


@ask(group, "show", show=show_dataset)
def show_one(client: "Client", dataset: Annotated[str, typer.Argument(help="Id or name of a data set.")]) -> Any:
    """Show a data set and its columns."""
    return client.get(f"/v1/datasets/{find_dataset(client, dataset)}")


def upload(client: "Client", file: Path, name: str | None, resume: str | None = None) -> Any:
    """Upload a file and wait until it was read, under a progress bar. Raises: CommandFailed, Interrupted."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from app.client import Unreachable

    if resume is not None:
        _check_same_file(client, file, resume)
    announced = [resume] if resume is not None else []
    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console(stderr=True), transient=True) as progress:
            task = progress.add_task("upload", total=file.stat().st_size)

            def show(num_bytes: int) -> None:
                progress.update(task, completed=num_bytes)

            if resume is not None:
                dataset = client.resume(file, resume, on_sent=show)
            else:
                dataset = client.upload(file, name=name, on_sent=show, on_announced=announced.append)
    except (KeyboardInterrupt, Unreachable) as error:
        if announced:
            raise Interrupted(file, announced[0]) from None
        raise error
    with display() as shown:
        return client.read_dataset(dataset, on_progress=shown.progress)


class Interrupted(CommandFailed):
    """The upload stopped; what arrived is kept for a while."""

    exit_code = INTERRUPTED

    def __init__(self, file: Path, upload_id: str) -> None:
        super().__init__(f"interrupted; go on with: maas datasets upload {file} --resume {upload_id}")


def _check_same_file(client: "Client", file: Path, upload_id: str) -> None:
    announced_bytes = client.get(f"/v1/uploads/{upload_id}")["size_bytes"]
    if announced_bytes != file.stat().st_size:
        raise CommandFailed(f"the upload {upload_id} is of another file: that one has {announced_bytes} bytes")


def find_dataset(client: "Client", given: str) -> str:
    """The id of a data set given by id or name; a name means its newest version. Raises: CommandFailed."""
    if given.startswith("ds_"):
        return given
    found = client.pages("/v1/datasets", limit=1, name=given)
    if not found:
        raise CommandFailed(f"there is no data set named '{given}', and no file of that name")
    return str(found[0]["id"])


def find_or_upload(client: "Client", given: str) -> str:
    """The id of a data set given by id or name, or of a new one from a file. Raises: CommandFailed, Interrupted."""
    file = Path(given)
    return str(upload(client, file, None)["id"]) if file.is_file() else find_dataset(client, given)
