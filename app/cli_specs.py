"""`maas specs`: what can be trained, and networks declared as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import CommandFailed, Limit, ask, json_object
from app.cli_output import record, say, table

if TYPE_CHECKING:
    from app.client import Client

group = typer.Typer(no_args_is_help=True, help="What can be trained.")


@ask(group, "list", show=table("name", "version", "origin", "tasks", "summary"))
def list_specs(client: "Client", limit: Limit = 100) -> Any:
    """List the specs that jobs can name."""
    return client.pages("/v1/specs", limit=limit)


def show_read(spec: dict[str, Any]) -> None:
    """A spec and its parameters."""
    record("reference", "origin", "summary", "tasks", "source", "sha256", "created_at", "network", "params")(spec)
    table("name", "type", "default", "minimum", "maximum", "choices", "level", "help", title="Parameters")(
        spec["parameters"]
    )


@ask(group, "show", show=show_read)
def show_one(client: "Client", name: Annotated[str, typer.Argument(help="A name, or name@version.")]) -> Any:
    """Show a spec and its parameters."""
    name, at, version = name.partition("@")
    return client.get(f"/v1/specs/{name}/versions/{version}" if at else f"/v1/specs/{name}")


@ask(group, "versions", show=table("reference", "sha256", "created_at", "summary"))
def list_versions(
    client: "Client", name: Annotated[str, typer.Argument(help="Name of a spec.")], limit: Limit = 20
) -> Any:
    """List the versions of a spec, newest first."""
    return client.pages(f"/v1/specs/{name}/versions", limit=limit)


@ask(group, "add", show=lambda spec: say(f"Declared {spec['reference']}."))
def add(
    client: "Client",
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="JSON object with name, network and params.")
    ],
) -> Any:
    """Declare a network that a JSON file describes; the same name again makes a new version."""
    return client.post("/v1/specs", json_object(f"@{file}", option="FILE"))


@ask(group, "delete", show=lambda reference: say(f"Deleted {reference}."))
def delete(client: "Client", reference: Annotated[str, typer.Argument(help="name@version")]) -> Any:
    """Delete a version that no job or model has in its record."""
    name, at, version = reference.partition("@")
    if not at:
        raise CommandFailed(f"say which version of {name}: {name}@1")
    client.delete(f"/v1/specs/{name}/versions/{version}")
    return reference
