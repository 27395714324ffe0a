"""`maas keys`: create, list, revoke."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import Limit, ask, given
from app.cli_output import record, say, table

if TYPE_CHECKING:
    from app.client import Client

group = typer.Typer(no_args_is_help=True, help="API keys.")


def show_created(key: dict[str, Any]) -> None:
    """A new key; its text is shown this once."""
    record("id", "name", "scopes", "model", "expires_at")(key)
    say(f"\n{key['key']}\n\nThis is the only time that the key is shown.")


@ask(group, "create", show=show_created)
def create_key(
    client: "Client",
    name: Annotated[str, typer.Option("--name", help="What the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", help="read, datasets:write, jobs:write, predict, models:write or admin; may be repeated."
        ),
    ],
    expires_in_days: Annotated[
        float | None, typer.Option("--expires-in-days", min=0.001, max=36500, help="Default: never.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Bind the key to one model.")] = None,
) -> Any:
    """Make a key; it can do no more than the key that makes it."""
    expires_at = datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days else None
    body = {"name": name, "scopes": scope, "model": model, "expires_at": expires_at and expires_at.isoformat()}
    return client.post("/v1/keys", given(body))


@ask(group, "list", show=table("id", "name", "scopes", "model", "expires_at", "revoked_at", "last_used_at"))
def list_keys(client: "Client", limit: Limit = 100) -> Any:
    """List keys, without their secrets."""
    return client.pages("/v1/keys", limit=limit)


@ask(group, "revoke", show=record("id", "name", "revoked_at"))
def revoke_key(client: "Client", key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of a key.")]) -> Any:
    """Revoke a key; it stops working within a second."""
    return client.delete(f"/v1/keys/{key_id}")
