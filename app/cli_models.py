"""`maas models` and `maas predict`."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import CommandFailed, Limit, ask, pairs, scalar
from app.cli_jobs import show_metrics
from app.cli_output import printable, record, say, table

if TYPE_CHECKING:
    from app.client import Client

top = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="Trained models.")


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
def show_one(
    client: "Client", model: Annotated[str, typer.Argument(help="A name, name@version or name@alias.")]
) -> Any:
    """Show a model with its versions, or one version."""
    name, _, version = model.partition("@")
    shown = client.get(f"/v1/models/{name}")
    if not version:
        return shown | {"versions": client.pages(f"/v1/models/{name}/versions", limit=20)}
    if not version.isdecimal():
        version = shown["aliases"].get(version)
        if version is None:
            raise CommandFailed(f"the model {name} has no such alias; it has {printable(list(shown['aliases']))}")
    return client.get(f"/v1/models/{name}/versions/{version}")


def show_predictions(answer: dict[str, Any]) -> None:
    """One line per row: the label with its probability, or the value, and what is remarkable about the row."""
    say(f"\n{printable(answer['model'])}")
    table("row", "label", "probability", "value", "warnings")(
        [
            {
                "row": number,
                "label": each.get("label"),
                "probability": max((each.get("probabilities") or {}).values(), default=None),
                "value": each.get("value"),
                "warnings": "; ".join(f"{warned['column']}: {warned['detail']}" for warned in each["warnings"]) or None,
            }
            for number, each in enumerate(answer["predictions"])
        ]
    )


@ask(top, "predict", show=show_predictions)
def predict(
    client: "Client",
    model: Annotated[str, typer.Argument(help="A name, name@version or name@alias.")],
    values: Annotated[list[str] | None, typer.Argument(help="One row: column=value ...")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", help="File of a JSON array of rows, or of JSON Lines; - is standard input.")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", exists=True, dir_okay=False, help="CSV file.")] = None,
) -> Any:
    """Predict rows given as column=value, JSON or CSV."""
    if sum(source is not None for source in (values or None, rows, csv_file)) != 1:
        raise typer.BadParameter("give one row as column=value, or --rows, or --csv")
    if values:
        body = [pairs(values, option="column=value")]
    else:
        body = read_json_rows(rows) if rows else read_csv_rows(csv_file or Path())
    return client.post(f"/v1/models/{model}/predict", {"rows": body})


def read_json_rows(source: str) -> Any:
    """Rows from a JSON array, from JSON Lines, or from an object that has `rows`."""
    text = sys.stdin.read() if source == "-" else Path(source).read_text()
    try:
        if text.lstrip().startswith("["):
            return json.loads(text)
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise typer.BadParameter(f"this is not JSON: {error}", param_hint="--rows") from None
    return rows[0]["rows"] if len(rows) == 1 and isinstance(rows[0].get("rows"), list) else rows


def read_csv_rows(path: Path) -> list[dict[str, Any]]:
    """Rows from a CSV file with a header; an empty cell is a missing value."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return [{name: None if text in ("", None) else scalar(text) for name, text in row.items()} for row in rows]
