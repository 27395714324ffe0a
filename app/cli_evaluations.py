"""`maas evaluate`: how good a version is on any rows, alone or beside another one."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import cli_jobs, cli_models
from app.cli_command import ask, given
from app.cli_datasets import find_dataset
from app.cli_jobs import JobId, ended_badly, show_started
from app.cli_models import Model, find_version
from app.cli_output import printable, record, say, table
from app.cli_progress import watch

if TYPE_CHECKING:
    from app.client import Client

top = typer.Typer()
NUM_SLICES = 5


def show_evaluation(evaluation: dict[str, Any]) -> None:
    """Metrics with their intervals, the differences from another version, the worst slices, warnings."""
    record("model", "dataset", "part", "num_rows", "task", "target")(evaluation)
    metrics, intervals = evaluation["metrics"], evaluation["intervals"]
    rows = [{"metric": name, "value": value, "interval": intervals.get(name)} for name, value in metrics.items()]
    table("metric", "value", "interval")(rows)
    if comparison := evaluation["comparison"]:
        columns = ("metric", "first", "second", "difference", "interval", "probability_better", "p_value")
        rows = [{"metric": name, **each} for name, each in comparison["differences"].items()]
        table(*columns, title=f"Against {printable(comparison['model'])}")(rows)
    if slices := evaluation["slices"][:NUM_SLICES]:
        primary = f"metrics.{evaluation['primary_metric']}"
        table("column", "label", "num_rows", primary, title="Worst slices")(slices)
    for line in evaluation["warnings"]:
        say(printable(line))


def show_measured(answer: dict[str, Any]) -> None:
    """The job that measures, or what it found."""
    (show_evaluation if answer["object"] == "evaluation" else show_started)(answer)


@ask(top, "evaluate", show=show_measured, failure=ended_badly)
def evaluate(
    client: "Client",
    model: Model,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Id or name; default: its own.")] = None,
    part: Annotated[str | None, typer.Option("--part", help="test, validation, train or all.")] = None,
    slices: Annotated[list[str] | None, typer.Option("--slice", help="Column to slice by; may be repeated.")] = None,
    against: Annotated[str | None, typer.Option("--against", help="Another version, on the same rows.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the resampled rows.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="Higher runs first.")] = None,
    wall_seconds: Annotated[float | None, typer.Option("--wall-seconds", help="Fail there.")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Wait for the end and show what was found.")] = False,
) -> Any:
    """Measure a version in a job, on its own test rows or on any others, alone or against another version."""
    request = {
        "dataset": find_dataset(client, dataset) if dataset is not None else None,
        "part": part,
        "slices": slices or None,
        "against": against,
        "seed": seed,
        "priority": priority,
        "limits": {"wall_seconds": wall_seconds} if wall_seconds is not None else None,
    }
    job = client.post(f"/v1/models/{model}/evaluate", given(request))
    if follow:
        job = watch(client, job["id"])
        if job["status"] == "succeeded":
            return client.get(f"/v1/jobs/{job['id']}/evaluation")
    return job


@ask(cli_jobs.group, "evaluation", show=show_evaluation)
def show_job_evaluation(client: "Client", job: JobId) -> Any:
    """Show what an evaluation job found."""
    return client.get(f"/v1/jobs/{job}/evaluation")


@ask(cli_models.models, "evaluation", show=show_evaluation)
def show_model_evaluation(client: "Client", model: Model) -> Any:
    """Show how good a version is on the rows that its training set aside for testing."""
    return client.get(f"{find_version(client, model)}/evaluation")
