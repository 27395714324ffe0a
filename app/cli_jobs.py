"""`maas train` and `maas jobs`: start, watch, steer."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import Limit, ask, given, json_object, pairs
from app.cli_datasets import find_or_upload
from app.cli_output import printable, record, say, table
from app.cli_progress import watch

if TYPE_CHECKING:
    from app.client import Client

top = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Background work.")
JobId = Annotated[str, typer.Argument(help="Id of a job.")]


def show_job(job: dict[str, Any]) -> None:
    """A job, with its scores once it has some."""
    record(
        "id", "status", "phase", "model", "model_version", "dataset", "spec", "task", "target", "seed", "params",
        "progress", "control", "attempt", "error.message", "error.pointer", "error.next_step",
        "created_at", "started_at", "finished_at",
    )(job)  # fmt: skip
    show_metrics(job.get("metrics") or {})


def show_metrics(metrics: dict[str, Any]) -> None:
    """Scores by part; the baselines stand beside the part that nobody learned from."""
    parts = {part: metrics[part] for part in ("train", "validation", "test") if metrics.get(part)}
    measured = next((part for part in ("test", "validation", "train") if parts.get(part)), "")
    for name, title in (("linear", "linear model"), ("baseline", "baseline")):
        scores = metrics.get(name, {}).get(measured)
        if scores:
            parts[f"{title} ({measured})"] = scores
    names = list(dict.fromkeys(name for scores in parts.values() for name in scores))
    if names:
        table("part", *names)([{"part": part, **scores} for part, scores in parts.items()])


def ended_badly(job: dict[str, Any]) -> str | None:
    """Why a job that was watched to its end is a failure."""
    if job.get("status") in ("failed", "cancelled"):
        why = f": {job['error']['message']} {job['error']['next_step']}" if job["error"] else ""
        return f"the job {job['status']}{why}"
    return None


def show_estimate(checked: dict[str, Any]) -> None:
    """What a job would take, or why that is not known."""
    timing = checked["timing"]
    if timing is None:
        say(checked["reason"])
        return
    names = ("seconds", "epochs", "memory_bytes")
    record(*names, "num_parameters", "disk_bytes")(
        timing | {name: f"{timing[name]['low']:,} to {timing[name]['high']:,}" for name in names}
    )
    for line in timing["assumed"]:
        say(line)


def show_result(job: dict[str, Any]) -> None:
    """What has come of a job: answers, figures, or a version with its scores."""
    if job["kind"] == "predict":
        made = job["prediction"]
        say(f"{made['dataset']} has the answers to {made['num_rows']:,} rows.")
        if made["num_rejected"]:
            say(f"{made['num_rejected']:,} of them have none: maas jobs rejected {job['id']}")
    elif job["kind"] == "evaluate":
        say(f"{job['model_version']} is measured: maas jobs evaluation {job['id']}")
    else:
        show_metrics(job["metrics"] or {})
        say(f"{job['model_version']} is ready: maas predict {job['model_version']} column=value ...")


def show_started(job: dict[str, Any]) -> None:
    """A new job: how to go on if it runs, its result if it has been watched to its end; or what it would take."""
    if job["object"] == "job_validation":
        show_estimate(job)
    elif job["status"] == "succeeded":
        show_result(job)
    elif job["status"] == "queued":
        say(f"{job['id']} is queued. Watch it: maas jobs watch {job['id']}")
    else:
        show_job(job)


@ask(top, "train", show=show_started, failure=ended_badly)
def train(
    client: "Client",
    dataset: Annotated[str, typer.Argument(help="Id or name of a data set, or a file to upload.")],
    target: Annotated[str, typer.Option("--target", help="Column to predict.")],
    spec: Annotated[str | None, typer.Option("--spec", help="What to train; see `maas specs list`.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Name of the model; default: the data set's.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Kind of prediction; default: what fits.")] = None,
    params: Annotated[
        list[str] | None, typer.Option("--params", help="name=value or JSON object; may be repeated.")
    ] = None,
    preparation: Annotated[str | None, typer.Option("--preparation", help="JSON object, or @file.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="JSON object, or @file.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Same inputs and seed, same weights.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="Higher runs first.")] = None,
    wall_seconds: Annotated[float | None, typer.Option("--wall-seconds", help="Stop there and keep the best.")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Show live progress until the end.")] = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Start nothing; say what it would take.")] = False,
) -> Any:
    """Start a training job on a data set, or on a file that is uploaded first."""
    request = {
        "target": target,
        "spec": spec,
        "model": model,
        "task": task,
        "params": pairs(params or [], option="--params"),
        "preparation": json_object(preparation or "{}", option="--preparation"),
        "split": json_object(split or "{}", option="--split"),
        "seed": seed,
        "priority": priority,
        "limits": {"wall_seconds": wall_seconds} if wall_seconds is not None else None,
    }
    body = given(request) | {"dataset": find_or_upload(client, dataset)}
    job = client.post("/v1/jobs:validate" if estimate else "/v1/jobs", body)
    return watch(client, job["id"]) if follow and not estimate else job


@ask(group, "list", show=table("id", "status", "phase", "model", "model_version", "spec", "target", "created_at"))
def list_jobs(
    client: "Client",
    status: Annotated[str | None, typer.Option("--status", help="Only jobs with this status.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only jobs for this model.")] = None,
    limit: Limit = 20,
) -> Any:
    """List jobs, newest first."""
    return client.pages("/v1/jobs", limit=limit, status=status, model=model)


@ask(group, "show", show=show_job)
def show_one(client: "Client", job: JobId) -> Any:
    """Show a job."""
    return client.get(f"/v1/jobs/{job}")


@ask(group, "watch", show=show_started, failure=ended_badly)
def watch_job(client: "Client", job: JobId) -> Any:
    """Show live progress until the job ends; Ctrl-C leaves it running."""
    return watch(client, job)


@ask(group, "cancel", show=show_job)
def cancel_job(client: "Client", job: JobId) -> Any:
    """Stop a job for good."""
    return client.post(f"/v1/jobs/{job}/cancel")


@ask(group, "pause", show=show_job)
def pause_job(client: "Client", job: JobId) -> Any:
    """Stop a job with a checkpoint from which `resume` goes on."""
    return client.post(f"/v1/jobs/{job}/pause")


@ask(group, "resume", show=show_job)
def resume_job(client: "Client", job: JobId) -> Any:
    """Queue a paused job again."""
    return client.post(f"/v1/jobs/{job}/resume")


@ask(group, "finish", show=show_job)
def finish_job(client: "Client", job: JobId) -> Any:
    """Stop training now and keep the best weights."""
    return client.post(f"/v1/jobs/{job}/finish")


@ask(group, "patch", show=show_job)
def patch_job(
    client: "Client",
    job: JobId,
    priority: Annotated[int | None, typer.Option("--priority", help="Higher runs first.")] = None,
    wall_seconds: Annotated[float | None, typer.Option("--wall-seconds", help="Stop there and keep the best.")] = None,
) -> Any:
    """Change the priority or the time limit of a job that has not ended."""
    limits = {"limits": {"wall_seconds": wall_seconds}} if wall_seconds is not None else {}
    return client.patch(f"/v1/jobs/{job}", limits if priority is None else {"priority": priority, **limits})


def show_curves(curves: list[dict[str, Any]]) -> None:
    """Where each curve began, where it is, and how far it went in between."""
    told = [
        {
            "series": each["name"],
            "per": each["kind"],
            "points": each["num_points"],
            "first": each["y"][0],
            "last": each["y"][-1],
            "least": min(each["low"] or each["y"]),
            "greatest": max(each["high"] or each["y"]),
        }
        for each in curves
    ]
    table("series", "per", "points", "first", "last", "least", "greatest")(told)


@ask(group, "metrics", show=show_curves)
def show_job_metrics(
    client: "Client",
    job: JobId,
    series: Annotated[str | None, typer.Option("--series", help="Names separated by commas; default: all.")] = None,
    axis: Annotated[str | None, typer.Option("--axis", help="step, epoch or seconds; seen with --json.")] = None,
    resolution: Annotated[int | None, typer.Option("--resolution", help="Most points of one curve.")] = None,
) -> Any:
    """Show the curves of a job: losses, scores, learning rate, throughput, resources."""
    return client.get(f"/v1/jobs/{job}/metrics", series=series, axis=axis, resolution=resolution)["data"]


@ask(group, "retry", show=show_started)
def retry_job(client: "Client", job: JobId) -> Any:
    """Queue a new job with the plan of one that failed or was cancelled."""
    return client.post(f"/v1/jobs/{job}/retry")


def show_reproduction(job: dict[str, Any]) -> None:
    """How equal the repetition is, once that is known."""
    if job.get("reproduction") is None:
        show_started(job)
        return
    found = job["reproduction"]
    record("equal", "weights_equal", "graph_equal", "metrics_equal", "first_difference", "weights_difference")(found)
    table("what", "recorded", "found")([{"what": name, **apart} for name, apart in found["differences"].items()])


@ask(group, "reproduce", show=show_reproduction, failure=ended_badly)
def reproduce_job(
    client: "Client",
    job: JobId,
    follow: Annotated[bool, typer.Option("--watch", help="Show live progress until the end.")] = False,
) -> Any:
    """Train again what a job has trained, and compare the bits."""
    again = client.post(f"/v1/jobs/{job}/reproduce")
    return watch(client, again["id"]) if follow else again


def show_logs(pieces: list[dict[str, Any]]) -> None:
    """What the job's processes wrote, line by line."""
    for line in "".join(piece["text"] for piece in pieces).splitlines():
        say(printable(line))


@ask(group, "logs", show=show_logs)
def show_job_logs(client: "Client", job: JobId, limit: Limit = 10_000) -> Any:
    """Print what the job's processes wrote."""
    return client.pages(f"/v1/jobs/{job}/logs", limit=limit)


@ask(group, "rejected", show=table("row", "column", "detail"))
def show_rejected(client: "Client", job: JobId) -> Any:
    """List the rows that a batch prediction could not answer, and why."""
    return [json.loads(line) for line in client.request("GET", f"/v1/jobs/{job}/rejected").iter_lines()]
