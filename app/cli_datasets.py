"""`maas datasets`: upload, list, show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import CommandFailed, Limit, ask
from app.cli_output import console, record, table

if TYPE_CHECKING:
    from app.client import Client

group = typer.Typer(no_args_is_help=True, help="Uploaded tables.")
columns_table = table("name", "type", "num_missing", "num_distinct", "examples", title="Columns")


def show_dataset(dataset: dict[str, Any]) -> None:
    """A data set with its typed columns."""
    record("id", "name", "version", "status", "format", "num_rows", "size_bytes", "sha256", "created_at")(dataset)
    columns_table(dataset["columns"])


@ask(group, "upload", show=show_dataset)
def upload_dataset(
    client: "Client",
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, TSV, JSON Lines, JSON or Parquet.")],
    name: Annotated[str | None, typer.Option("--name", help="Name; default: that of the file.")] = None,
) -> Any:
    """Upload a table; the same name again makes a new version."""
    return upload(client, file, name)


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


def upload(client: "Client", file: Path, name: str | None) -> Any:
    """Upload a file under a progress bar."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("upload", total=file.stat().st_size)
        return client.upload(file, name=name, on_bytes=lambda num_bytes: progress.advance(task, num_bytes))


def find_dataset(client: "Client", given: str) -> str:
    """The id of a data set given by id or name; a name means its newest version. Raises: CommandFailed."""
    if given.startswith("ds_"):
        return given
    found = client.pages("/v1/datasets", limit=1, name=given)
    if not found:
        raise CommandFailed(f"there is no data set named '{given}', and no file of that name")
    return str(found[0]["id"])
