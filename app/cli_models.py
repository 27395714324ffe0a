"""`maas models`: what was trained, and what to know before using it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import CommandFailed, Limit, ask
from app.cli_jobs import show_metrics
from app.cli_output import printable, record, say, table

if TYPE_CHECKING:
    from app.client import Client

models = typer.Typer(no_args_is_help=True, help="Trained models.")
Model = Annotated[str, typer.Argument(help="A name, name@version or name@alias.")]


def show_model(model: dict[str, Any]) -> None:
    """A model and its versions."""
    record("name", "latest_version", "num_versions", "aliases", "created_at")(model)
    table("reference", "status", "spec", "task", "size_bytes", "created_at", title="Versions")(model["versions"])


@ask(models, "list", show=table("name", "latest_version", "num_versions", "aliases", "created_at"))
def list_models(client: "Client", limit: Limit = 20) -> Any:
    """List models, newest first."""
    return client.pages("/v1/models", limit=limit)


def show_version_or_model(shown: dict[str, Any]) -> None:
    """A model, or one version with its scores and what it decided about each column."""
    if "versions" in shown:
        show_model(shown)
        return
    record("reference", "status", "spec", "task", "size_bytes", "digests", "lineage", "created_at")(shown)
    show_metrics(shown["metrics"])
    inputs = shown["manifest"].get("inputs", [])
    table("name", "type", "role", "missing.strategy", "scaling.method", "categories", "reason", title="Inputs")(inputs)


@ask(models, "show", show=show_version_or_model)
def show_one(client: "Client", model: Model) -> Any:
    """Show a model with its versions, or one version."""
    name, at, _ = model.partition("@")
    if at:
        return client.get(find_version(client, model))
    return client.get(f"/v1/models/{name}") | {"versions": client.pages(f"/v1/models/{name}/versions", limit=20)}


def show_card(card: dict[str, Any]) -> None:
    """What a version was made of, how good it is beside its baselines, its limits, and how to call it."""
    record("model", "task", "target.name", "classes", "data.id", "data.num_rows", "training.spec", "created_at")(card)
    quality = card["quality"]
    baselines = {"baseline": quality["constant"], "linear": quality["linear"]}
    show_metrics(
        {quality["part"]: quality["metrics"]} | {name: {quality["part"]: each} for name, each in baselines.items()}
    )
    for line in card["limits"]:
        say(printable(line))
    for call in card["calls"]:
        say(f"\n{call['protocol']}:\n{call['curl']}")


@ask(models, "card", show=show_card)
def show_model_card(client: "Client", model: Model) -> Any:
    """Show what to know before using a version, and a call for each protocol."""
    return client.get(f"/v1/models/{model}/card")


def find_version(client: "Client", model: str) -> str:
    """The path of the version that a reference means. Raises: CommandFailed when there is no such alias."""
    name, _, version = model.partition("@")
    if not version.isdecimal():
        shown = client.get(f"/v1/models/{name}")
        version = shown["aliases"].get(version) if version else shown["latest_version"]
        if version is None:
            raise CommandFailed(f"the model {name} has no such alias; it has {printable(list(shown['aliases']))}")
    return f"/v1/models/{name}/versions/{version}"
