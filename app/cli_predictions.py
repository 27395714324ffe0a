"""`maas predict` for some rows at once, `maas predict-all` for a whole data set in a job."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import ask, given, pairs, scalar
from app.cli_datasets import find_or_upload
from app.cli_jobs import ended_badly, show_started
from app.cli_models import Model
from app.cli_output import printable, say, table
from app.cli_progress import watch

if TYPE_CHECKING:
    from app.client import Client

top = typer.Typer()


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
    model: Model,
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


@ask(top, "predict-all", show=show_started, failure=ended_badly)
def predict_all(
    client: "Client",
    model: Model,
    dataset: Annotated[str, typer.Argument(help="Id or name of a data set, or a file to upload.")],
    name: Annotated[str | None, typer.Option("--name", help="Of the answers; default: DATASET-predictions.")] = None,
    keep: Annotated[list[str] | None, typer.Option("--keep", help="Column to carry over; may be repeated.")] = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="Begins the names of columns of answers.")] = None,
    labels_only: Annotated[bool, typer.Option("--labels-only", help="No column for each class's probability.")] = False,
    interval: Annotated[float | None, typer.Option("--interval", help="Coverage of an interval or set.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="Higher runs first.")] = None,
    wall_seconds: Annotated[float | None, typer.Option("--wall-seconds", help="Fail there.")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Show live progress until the end.")] = False,
) -> Any:
    """Answer all rows of a data set, or of a file that is uploaded first, in a job; the answers are a data set."""
    request = {
        "model": model,
        "dataset": find_or_upload(client, dataset),
        "name": name,
        "keep": keep,
        "prefix": prefix,
        "probabilities": not labels_only,
        "interval": interval,
        "priority": priority,
        "limits": {"wall_seconds": wall_seconds} if wall_seconds is not None else None,
    }
    job = client.post("/v1/predictions", given(request))
    return watch(client, job["id"]) if follow else job


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
