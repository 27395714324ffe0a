"""What the job routes read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.learning import specs

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Task = Literal["binary", "multiclass", "regression", "soft"]
EXAMPLE_ID = "job_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3"


class Limits(BaseModel):
    """How much one job may use; both have defaults and upper bounds among the settings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    wall_seconds: float | None = Field(
        None, gt=0, le=10**8, allow_inf_nan=False, description="Training stops there and keeps the best."
    )
    memory_bytes: int | None = Field(
        None,
        ge=256 << 20,
        description="Memory of the training, all of its processes together, beyond the libraries that they begin with.",
    )


class TimeLimit(BaseModel):
    """The limit that may change while a job runs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    wall_seconds: float = Field(
        0.0, gt=0, le=10**8, allow_inf_nan=False, description="Training stops there and keeps the best."
    )


class JobCreate(BaseModel):
    """A training job; only `dataset` and `target` are required."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"dataset": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3", "target": "species", "model": "penguins"},
                {
                    "dataset": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "target": "species",
                    "spec": "dense",
                    "params": {"hidden": [64, 64], "learning_rate": 0.01, "epochs": 200},
                    "preparation": {"columns": {"year": {"type": "category"}}},
                    "split": {"validation": 0.2, "test": 0.2},
                    "seed": 7,
                },
                {
                    "dataset": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "target": "price",
                    "split": {"method": "time", "column": "sold_at"},
                },
            ]
        },
    )

    dataset: str = Field(min_length=1, max_length=64, description="Id of the data set to learn from.")
    target: str = Field(min_length=1, max_length=1000, description="Column to predict.")
    model: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Name under which the result is stored as a new version; default: the data set's name.",
    )
    task: Task | None = Field(None, description="What kind of prediction; default: what fits the target column.")
    spec: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="A name from GET /v1/specs, or name@version; default: `ensemble`, or `dense` for parameters that "
        "only a network has.",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the spec.")
    preparation: dict[str, Any] = Field(default_factory=dict, description="How columns become numbers.")
    split: dict[str, Any] = Field(default_factory=dict, description="Which rows train, validate and test.")
    seed: int = Field(0, ge=0, lt=2**63, description="Same inputs and seed, same weights.")
    priority: int = Field(0, ge=-1000, le=1000, description="Higher runs first.")
    limits: Limits = Field(default_factory=Limits)

    @property
    def spec_or_default(self) -> str:
        """The spec that is asked for, or that its parameters are for."""
        return self.spec or specs.default(self.params)


class JobError(BaseModel):
    """Why a job failed, where in the request that comes from, and what to do next."""

    code: str = Field(description="For programs; every code is in the reference of errors.")
    message: str
    pointer: str | None = Field(description="The place in the request that is to blame, where there is one.")
    errors: list[dict[str, Any]] = Field(default_factory=list, description="All places that are wrong, where known.")
    details: dict[str, Any] = Field(
        default_factory=dict, description="Figures: the step of a divergence, the peak of memory, a setting to try."
    )
    next_step: str = Field("", description="What to do next.")


class Apart(BaseModel):
    """A value that two trainings do not share."""

    recorded: Any
    found: Any
    difference: float | None = None


class FirstDifference(BaseModel):
    """The first point of the curves at which two trainings differ."""

    step: int
    epoch: float
    values: dict[str, Apart] = Field(description="The losses that differ, and by how much.")
    reason: str | None = Field(description="Why there is nothing to compare there.")


class WeightsDifference(BaseModel):
    """Where the weights are furthest apart."""

    tensor: str
    largest: float | None = Field(description="The largest difference of two numbers; null where shapes differ.")


class ReproductionRead(BaseModel):
    """How equal a training and its repetition are, bit by bit."""

    equal: bool = Field(description="Whether weights, graph, scores and curve are the same.")
    weights_equal: bool
    graph_equal: bool
    metrics_equal: bool
    first_difference: FirstDifference | None
    weights_difference: WeightsDifference | None
    differences: dict[str, Apart] = Field(description="What was different around them: libraries, processor, threads.")


class WarnedRead(BaseModel):
    """How many rows were answered although something about them was odd."""

    column: str
    code: str = Field(examples=["imputed", "unseen-category"])
    num_rows: int


class PredictedRead(BaseModel):
    """What came of a batch prediction."""

    dataset: str = Field(description="The data set with the answers, a row for each row.")
    num_rows: int
    num_rejected: int = Field(description="Rows without an answer; `GET /v1/jobs/{job_id}/rejected` says why.")
    warnings: list[WarnedRead]


class JobRead(BaseModel):
    """A job: `status` for programs, `phase` for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE_ID,
                    "object": "job",
                    "kind": "train",
                    "status": "running",
                    "phase": "training",
                    "progress": {"epoch": 12, "num_epochs": 200, "fraction": 0.06, "seconds_remaining": 4.1},
                    "model": "penguins",
                    "model_version": None,
                    "dataset": "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    "spec": "dense",
                    "spec_version": 1,
                    "task": "multiclass",
                    "target": "species",
                    "params": {"hidden": [64, 64]},
                    "preparation": {},
                    "split": {"method": "stratified", "validation": 0.15, "test": 0.15},
                    "seed": 0,
                    "priority": 0,
                    "limits": {"wall_seconds": 86400, "memory_bytes": 4294967296},
                    "digests": {"dataset": "7d8686e3…", "table": "89a21984…", "plan": "1b4f0e98…"},
                    "metrics": None,
                    "error": None,
                    "control": None,
                    "attempt": 1,
                    "num_faults": 0,
                    "retry_of": None,
                    "study": None,
                    "trial": None,
                    "reproduces": None,
                    "reproduction": None,
                    "prediction": None,
                    "created_at": "2026-11-23T09:00:00Z",
                    "started_at": "2026-11-23T09:00:00Z",
                    "finished_at": None,
                }
            ]
        }
    )

    id: str
    object: Literal["job"] = "job"
    kind: Literal["train", "ingest", "reproduce", "evaluate", "estimate", "predict"] = Field(
        description="`ingest` reads a large upload or makes a version of it; `reproduce` trains again and compares; "
        "`evaluate` measures a model; `predict` answers a data set; `estimate` belongs to a request to validate."
    )
    status: Status
    phase: str | None = Field(description="What a running job does now: loading, training, exporting …")
    progress: dict[str, Any] = Field(
        description="Epoch, step, fraction, losses, rows per second, time left, resources."
    )
    model: str | None
    model_version: str | None = Field(
        description="What was made, measured or asked, as predictions name it: penguins@1."
    )
    dataset: str = Field(description="What it learns from, or makes.")
    spec: str | None = Field(description="This and the next seven are null for jobs that train nothing.")
    spec_version: int | None
    task: Task | None
    target: str | None
    params: dict[str, Any] | None
    preparation: dict[str, Any] | None
    split: dict[str, Any] | None
    seed: int | None
    priority: int
    limits: dict[str, Any]
    digests: dict[str, Any] = Field(description="SHA-256 of the data set as sent, its table, and the plan.")
    metrics: dict[str, Any] | None = Field(description="Scores on the validation and test parts, and of the baseline.")
    error: JobError | None
    control: Literal["pause", "cancel", "finish"] | None = Field(description="What was asked and not yet done.")
    attempt: int
    num_faults: int = Field(description="Attempts that died of something that is not the request's doing.")
    retry_of: str | None
    study: str | None = Field(description="The study that this job is a trial of.")
    trial: int | None = Field(description="Its number in that study.")
    reproduces: str | None = Field(description="The job that this one trains again.")
    reproduction: ReproductionRead | None = Field(description="How equal the two are, once it has succeeded.")
    prediction: PredictedRead | None = Field(description="What a batch prediction has made, once it has succeeded.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobPatch(BaseModel):
    """What may change before a job has ended; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"priority": 10}, {"limits": {"wall_seconds": 600}}]},
    )

    priority: int = Field(0, ge=-1000, le=1000, description="Higher runs first, the next time that it is queued.")
    limits: TimeLimit = Field(default_factory=TimeLimit)


class EventRead(BaseModel):
    """Something that happened to a job; `seq` counts 1, 2, 3 … without gaps."""

    seq: int
    object: Literal["job_event"] = "job_event"
    type: str
    level: Literal["info", "warning", "error"]
    message: str
    data: dict[str, Any]
    created_at: datetime


class LogRead(BaseModel):
    """A piece of what a job's process wrote."""

    seq: int
    object: Literal["job_log"] = "job_log"
    attempt: int
    text: str
    created_at: datetime


class CheckpointRead(BaseModel):
    """A state from which the job can go on."""

    id: str
    object: Literal["checkpoint"] = "checkpoint"
    epoch: int
    step: int
    sha256: str
    size_bytes: int
    created_at: datetime
