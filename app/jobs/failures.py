"""Why jobs fail: every code with when it happens and what to do next, the one place where these texts live."""

from __future__ import annotations

from typing import Any, NamedTuple


class Failure(NamedTuple):
    """What a code means, and what to do next where the failure itself knows nothing better."""

    when: str
    next_step: str


FAILURES: dict[str, Failure] = {
    "invalid-training": Failure(
        "data or parameters that cannot be used; `pointer` says which",
        "Change what the pointer names, look at it with POST /v1/jobs:validate, and start a new job.",
    ),
    "unknown-spec": Failure("there is no such spec", "Choose a name from GET /v1/specs."),
    "no-inputs": Failure(
        "no column is left to learn from",
        "Look at the reasons in the job's events: columns without values, or with one value, teach nothing. Use "
        "other columns, or set their type or policy under preparation.columns.",
    ),
    "too-few-rows": Failure(
        "fewer rows than training needs",
        "Add rows, fill in the target where it is missing, or give the validation and test parts smaller shares.",
    ),
    "limits-exceeded": Failure(
        "the network would be larger than `MAAS_MAX_PARAMETERS`",
        "Make the network narrower or shallower, or have the operator raise MAAS_MAX_PARAMETERS.",
    ),
    "diverged": Failure(
        "the loss stopped being a finite number; `details` has the step and the last good checkpoint",
        "Lower learning_rate to a tenth, or set gradient_clip to 1, and start a new job.",
    ),
    "out-of-memory": Failure(
        "the training needs more than `limits.memory_bytes`; `details` has the peak",
        "Use a smaller batch_size, fewer or narrower layers or fewer rows, or raise limits.memory_bytes; "
        "POST /v1/jobs:validate names the largest of each that fits.",
    ),
    "no-device": Failure(
        "a GPU is asked for where there is none",
        "Use device auto, or run a worker on a machine with a GPU and a torch that was built for it.",
    ),
    "wall-time-exceeded": Failure(
        "the training did not stop at its time limit",
        "Raise limits.wall_seconds, or train on fewer rows or with a smaller network.",
    ),
    "dataset-mismatch": Failure(
        "the stored table is not what the job was planned for",
        "Upload the data again and train on the new data set.",
    ),
    "dataset-corrupt": Failure(
        "the stored table does not match its digest",
        "Upload the data again and train on the new data set; have the operator check the disk.",
    ),
    "artifact-corrupt": Failure(
        "other stored bytes do not match their digest",
        "Retry the job; if it fails again, upload the data again and have the operator check the disk.",
    ),
    "checkpoint-mismatch": Failure(
        "the checkpoint belongs to another training",
        "Retry the job: a new job begins without a checkpoint.",
    ),
    "invalid-weights": Failure(
        "a weights file is not what it claims to be",
        "Retry the job: a new job begins without a checkpoint.",
    ),
    "export-failed": Failure(
        "the exported graph does not answer as the network does",
        "Train with precision float32 and smaller weights (more weight_decay, a smaller learning_rate), or report it "
        "with the job's log.",
    ),
    "dataset-invalid": Failure(
        "an upload, or what steps would make of a data set, is not a table that can be used",
        "Correct the lines, columns or steps that `errors` names and send it again; on_bad_lines=skip leaves "
        "malformed lines out.",
    ),
    "too-large": Failure(
        "an upload is over a limit that settings name",
        "Send fewer columns or rows, or have the operator raise the setting.",
    ),
    "unsupported-media-type": Failure(
        "an upload has a format that is not read here", "Convert it to CSV, JSON Lines or Parquet and send that."
    ),
    "cancelled": Failure(
        "the data set that it was to make will not be there", "Send the data again if it is still wanted."
    ),
    "infrastructure-fault": Failure(
        "its process or its worker died too often; not the request's doing",
        "Retry the job. Where the system kills processes for their memory, lower limits.memory_bytes first, so that "
        "the job is told before.",
    ),
    "internal": Failure("a bug; the job's log says more", "Report it with the job's log; GET /v1/jobs/{job_id}/logs."),
}
OTHERWISE = "Change what the message names and start a new job."


def complete(error: dict[str, Any]) -> dict[str, Any]:
    """The error of a job with all members that clients see."""
    known = FAILURES.get(error["code"])
    return {
        **error,
        "errors": error.get("errors") or [],
        "details": error.get("details") or {},
        "next_step": error.get("next_step") or (known.next_step if known else OTHERWISE),
    }
