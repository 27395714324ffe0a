"""`maas aliases`, `maas gates` and `maas shadows`: which versions answer, and what they must show before they do."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import Limit, ask, json_object, pairs
from app.cli_output import printable, record, say, table

if TYPE_CHECKING:
    from app.client import Client

aliases = typer.Typer(no_args_is_help=True, help="Names that point at versions, and what they pointed at before.")
gates = typer.Typer(no_args_is_help=True, help="What a version must show before an alias points at it.")
shadows = typer.Typer(no_args_is_help=True, help="Versions that answer beside an alias and are compared.")
# A gate may have to compare two versions, for which the server waits half a minute.
TIMEOUT_SECONDS = 60.0

Alias = Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="Such as penguins@champion.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model.")]
Version = Annotated[int, typer.Argument(min=1, help="Number of a version.")]
Force = Annotated[bool, typer.Option("--force", help="Past its gates; the audit trail tells so.")]
IfMatch = Annotated[
    str | None, typer.Option("--if-match", help="ETag of the alias as you read it; refused if somebody moved it.")
]

show_alias = record("model", "alias", "version", "split", "etag", "updated_at")


@ask(aliases, "show", show=show_alias)
def show_one_alias(client: "Client", alias: Alias) -> Any:
    """Show where an alias points."""
    return client.get(path_of(alias))


@ask(aliases, "move", show=show_alias)
def move_alias(client: "Client", alias: Alias, version: Version, force: Force = False, if_match: IfMatch = None) -> Any:
    """Point an alias at a version that passes its gates; makes the alias if there is none."""
    return send(client, "PUT", path_of(alias), {"version": version, "force": force}, if_match)


@ask(aliases, "split", show=show_alias)
def split_alias(
    client: "Client",
    alias: Alias,
    shares: Annotated[list[str], typer.Argument(metavar="VERSION=SHARE...", help="Such as 3=0.9 4=0.1; together 1.")],
    force: Force = False,
    if_match: IfMatch = None,
) -> Any:
    """Divide the requests for an alias among versions."""
    body = {"split": pairs(shares, option="VERSION=SHARE"), "force": force}
    return send(client, "PUT", path_of(alias), body, if_match)


@ask(aliases, "rollback", show=show_alias)
def roll_back_alias(client: "Client", alias: Alias, if_match: IfMatch = None) -> Any:
    """Point an alias at what it pointed at before, past its gates."""
    return send(client, "POST", f"{path_of(alias)}/rollback", None, if_match)


@ask(aliases, "history", show=table("revision", "action", "version", "split", "back", "forced", "key", "created_at"))
def list_moves(client: "Client", alias: Alias, limit: Limit = 20) -> Any:
    """List where an alias has pointed, newest first."""
    return client.pages(f"{path_of(alias)}/history", limit=limit)


@ask(aliases, "delete", show=lambda alias: say(f"Deleted {alias}."))
def delete_alias(client: "Client", alias: Alias) -> Any:
    """Remove an alias; its versions and its history stay."""
    client.delete(path_of(alias))
    return alias


def show_gates(shown: dict[str, Any]) -> None:
    """The guarded aliases of a model, and the rules."""
    record("model", "aliases", "updated_at")(shown)
    table("rule", "metric", "min", "max", "margin", "max_drop", "max_p95_ms")(shown["rules"])


@ask(gates, "show", show=show_gates)
def show_model_gates(client: "Client", model: ModelName) -> Any:
    """Show which aliases of a model are guarded, and by which rules."""
    return client.get(f"/v1/models/{model}/gates")


@ask(gates, "set", show=show_gates)
def set_gates(
    client: "Client",
    model: ModelName,
    document: Annotated[str, typer.Argument(metavar="GATES", help="JSON object of aliases and rules, or @file.")],
) -> Any:
    """Replace the gates of a model."""
    return send(client, "PUT", f"/v1/models/{model}/gates", json_object(document, option="GATES"))


@ask(gates, "delete", show=lambda model: say(f"No alias of {model} is guarded any more."))
def delete_gates(client: "Client", model: ModelName) -> Any:
    """Remove the gates of a model."""
    client.delete(f"/v1/models/{model}/gates")
    return model


def show_check(check: dict[str, Any]) -> None:
    """What each rule found."""
    record("model", "alias", "against", "guarded", "passed")(check)
    # A rule's own members, its name among them, stand beside what it found.
    table("rule", "metric", "passed", "detail")([each | each["rule"] for each in check["rules"]])


def why_refused(check: dict[str, Any]) -> str | None:
    """Why a version that was held against the gates may not pass."""
    failed = [each["rule"]["rule"] for each in check["rules"] if not each["passed"]]
    return f"{check['model']} does not pass: {', '.join(failed)}" if failed else None


@ask(gates, "check", show=show_check, failure=why_refused)
def check_gates(client: "Client", alias: Alias, version: Version) -> Any:
    """Hold a version against the gates as if an alias were to point at it; moves nothing, fails if it does not pass."""
    model, name = split_reference(alias)
    return send(client, "POST", f"/v1/models/{model}/gates:check", {"version": version, "alias": name})


def show_shadow(shadow: dict[str, Any]) -> None:
    """How the answers of a shadow compare with those that clients got."""
    record(
        "model", "alias", "version", "share", "num_requests", "num_rows", "num_failed", "num_dropped", "equal_labels",
        "mean_absolute_difference", "latency.mean_ms", "latency.max_ms", "shadow_latency.mean_ms",
        "shadow_latency.max_ms", "created_at",
    )(shadow)  # fmt: skip
    for error in shadow["last_errors"]:
        say(printable(f"{error['at']}: {error['detail']}"))


@ask(shadows, "show", show=show_shadow)
def show_one_shadow(client: "Client", alias: Alias) -> Any:
    """Show how the answers of the shadow compare with those that clients got."""
    return client.get(f"{path_of(alias)}/shadow")


@ask(shadows, "set", show=show_shadow)
def set_shadow(
    client: "Client",
    alias: Alias,
    version: Version,
    share: Annotated[float, typer.Option("--share", help="Share of the requests that are shown to it.")] = 1.0,
) -> Any:
    """Have a version answer beside an alias, unseen by clients; its figures begin anew."""
    return send(client, "PUT", f"{path_of(alias)}/shadow", {"version": version, "share": share})


@ask(shadows, "delete", show=lambda alias: say(f"Nothing answers beside {alias} any more."))
def delete_shadow(client: "Client", alias: Alias) -> Any:
    """Take the shadow of an alias away, with its figures."""
    client.delete(f"{path_of(alias)}/shadow")
    return alias


def split_reference(alias: str) -> tuple[str, str]:
    """The names of a model and of one of its aliases. Raises: BadParameter."""
    model, _, name = alias.partition("@")
    if not model or not name or name.isdecimal():
        raise typer.BadParameter(f"'{alias}' names no alias; write penguins@champion", param_hint="MODEL@ALIAS")
    return model, name


def path_of(alias: str) -> str:
    """The path of an alias. Raises: BadParameter."""
    model, name = split_reference(alias)
    return f"/v1/models/{model}/aliases/{name}"


def send(
    client: "Client", method: str, path: str, body: dict[str, Any] | None = None, if_match: str | None = None
) -> Any:
    """The answer to a change, which the server may have to think about. Raises: ClientError, Unreachable."""
    # Shells eat quotes: 3 means "3".
    headers = {"if-match": '"' + if_match.strip('"') + '"'} if if_match is not None else {}
    return client.request(method, path, json=body, headers=headers, timeout=TIMEOUT_SECONDS).json()
