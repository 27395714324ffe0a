"""`maas studies`: search for good parameters, watch, steer; ask and tell for trainers of one's own."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli_command import Limit, ask, given, json_object, pairs
from app.cli_datasets import find_dataset
from app.cli_output import record, say, table
from app.cli_progress import watch

if TYPE_CHECKING:
    from app.client import Client

group = typer.Typer(no_args_is_help=True, help="Searches for good parameters.")
StudyId = Annotated[str, typer.Argument(metavar="STUDY", help="Id of a study.")]
Number = Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="Number of a trial.")]


show_study = record(
    "id", "status", "control", "model", "model_version", "dataset", "spec", "task", "target", "metric", "direction",
    "sampler", "pruner", "num_trials", "parallel", "trials", "space", "params", "best", "importances", "error.message",
    "created_at", "finished_at",
)  # fmt: skip
show_trials = table("number", "state", "value", "params", "pruned_step", "job", "duration_seconds", "error.message")
show_trial = record(
    "number", "state", "value", "params", "pruned_step", "job", "intermediate_values", "duration_seconds",
    "error.message", "expires_at",
)  # fmt: skip


def ended_badly(study: dict[str, Any]) -> str | None:
    """Why a study that was watched to its end is a failure."""
    if study["status"] in ("failed", "cancelled"):
        return f"the study {study['status']}" + (f": {study['error']['message']}" if study["error"] else "")
    return None


def show_started(study: dict[str, Any]) -> None:
    """A study: how to go on if it runs, its best trial if it has been watched to its end."""
    best = study["best"]
    if study["status"] == "succeeded" and best:
        say(f"Best: trial {best['trial']}, {study['metric'] or 'value'} {best['value']:.6g}.")
        table("parameter", "value")([{"parameter": name, "value": value} for name, value in best["params"].items()])
        if study["model_version"]:
            say(f"{study['model_version']} is ready: maas predict {study['model_version']} column=value ...")
    elif study["external"]:
        say(f"{study['id']} waits for clients: maas studies ask {study['id']}")
    else:
        say(f"{study['id']} is {study['status']}. Watch it: maas studies watch {study['id']}")


@ask(group, "create", show=show_started, failure=ended_badly)
def create_study(
    client: "Client",
    space: Annotated[str, typer.Option("--space", help="JSON object of ranges and choices, or @file.")],
    dataset: Annotated[str | None, typer.Argument(help="Id or name of a data set; not with --external.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column to predict.")] = None,
    external: Annotated[bool, typer.Option("--external", help="Trials are run by clients that ask and tell.")] = False,
    spec: Annotated[str | None, typer.Option("--spec", help="What to train; see `maas specs list`.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Name for the best trial; default: the data set's.")
    ] = None,
    params: Annotated[
        list[str] | None, typer.Option("--params", help="What all trials share: name=value or JSON; may be repeated.")
    ] = None,
    preparation: Annotated[str | None, typer.Option("--preparation", help="JSON object, or @file.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="JSON object, or @file.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Of the validation part; default: what fits.")] = None,
    direction: Annotated[str | None, typer.Option("--direction", help="External: minimize or maximize.")] = None,
    sampler: Annotated[str | None, typer.Option("--sampler", help="tpe, random or grid.")] = None,
    pruner: Annotated[str | None, typer.Option("--pruner", help="none, median or asha.")] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="How many; default 20, or the grid.")] = None,
    parallel: Annotated[int | None, typer.Option("--parallel", min=1, help="Most at a time.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the sampler and every training.")] = None,
    wall_seconds: Annotated[float | None, typer.Option("--wall-seconds", help="End there with the best.")] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Show live progress until the end.")] = False,
) -> Any:
    """Start a study, of jobs on a data set or for external trainers."""
    plain = {
        "target": target, "spec": spec, "model": model, "metric": metric, "direction": direction, "sampler": sampler,
        "pruner": pruner, "num_trials": trials, "parallel": parallel, "seed": seed, "external": external or None,
    }  # fmt: skip
    objects = {"space": space, "preparation": preparation, "split": split}
    request = plain | {name: json_object(text, option=f"--{name}") for name, text in objects.items() if text}
    request |= {"params": pairs(params, option="--params")} if params else {}
    request |= {"dataset": find_dataset(client, dataset)} if dataset is not None else {}
    request |= {"limits": {"wall_seconds": wall_seconds}} if wall_seconds is not None else {}
    study = client.post("/v1/studies", given(request))
    return watch(client, study["id"], kind="studies") if follow else study


@ask(group, "list", show=table("id", "status", "model", "model_version", "spec", "target", "trials", "best.value"))
def list_studies(
    client: "Client",
    status: Annotated[str | None, typer.Option("--status", help="Only studies with this status.")] = None,
    limit: Limit = 20,
) -> Any:
    """List studies, newest first."""
    return client.pages("/v1/studies", limit=limit, status=status)


@ask(group, "show", show=show_study)
def show_one(client: "Client", study: StudyId) -> Any:
    """Show a study, its best trial and which parameters mattered."""
    return client.get(f"/v1/studies/{study}")


@ask(group, "trials", show=show_trials)
def list_trials(
    client: "Client",
    study: StudyId,
    state: Annotated[str | None, typer.Option("--state", help="Only trials in this state.")] = None,
    limit: Limit = 100,
) -> Any:
    """List the trials of a study: parameters, state, value."""
    return client.pages(f"/v1/studies/{study}/trials", limit=limit, state=state)


@ask(group, "trial", show=show_trial)
def show_one_trial(client: "Client", study: StudyId, trial: Number) -> Any:
    """Show a trial with its intermediate values."""
    return client.get(f"/v1/studies/{study}/trials/{trial}")


@ask(group, "watch", show=show_started, failure=ended_badly)
def watch_study(client: "Client", study: StudyId) -> Any:
    """Show live progress until the study ends; Ctrl-C leaves it running."""
    return watch(client, study, kind="studies")


@ask(group, "cancel", show=show_study)
def cancel_study(client: "Client", study: StudyId) -> Any:
    """Stop a study and its trials for good."""
    return client.post(f"/v1/studies/{study}/cancel")


@ask(group, "pause", show=show_study)
def pause_study(client: "Client", study: StudyId) -> Any:
    """Stop a study and its trials with checkpoints from which `resume` goes on."""
    return client.post(f"/v1/studies/{study}/pause")


@ask(group, "resume", show=show_study)
def resume_study(client: "Client", study: StudyId) -> Any:
    """Go on with a paused study."""
    return client.post(f"/v1/studies/{study}/resume")


@ask(group, "finish", show=show_study)
def finish_study(client: "Client", study: StudyId) -> Any:
    """Start no more trials and make the best one a version."""
    return client.post(f"/v1/studies/{study}/finish")


@ask(group, "ask", show=record("trial", "params", "expires_at"))
def ask_study(client: "Client", study: StudyId) -> Any:
    """Get the parameters of a trial to run yourself."""
    return client.post(f"/v1/studies/{study}/ask")


@ask(group, "report", show=record("prune"))
def report_trial(
    client: "Client",
    study: StudyId,
    trial: Number,
    step: Annotated[int, typer.Option("--step", min=0, help="Such as the epoch.")],
    value: Annotated[float, typer.Option("--value", help="What it has come to there.")],
) -> Any:
    """Report an intermediate value, and learn whether to stop."""
    return client.post(f"/v1/studies/{study}/trials/{trial}/report", {"step": step, "value": value})


@ask(group, "tell", show=show_trial)
def tell_trial(
    client: "Client",
    study: StudyId,
    trial: Number,
    value: Annotated[float | None, typer.Option("--value", help="What it came to.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="failed or pruned, instead of a value.")] = None,
) -> Any:
    """Tell how a trial ended."""
    told = {"value": value, "state": state}
    return client.post(
        f"/v1/studies/{study}/trials/{trial}/tell", {name: each for name, each in told.items() if each is not None}
    )
