"""What the study routes read and show."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from app.jobs.schemas import Task
from app.learning.objectives import Direction
from app.learning.tuning.pruners import Pruner
from app.learning.tuning.samplers import Sampler
from app.learning.tuning.space import SCHEMA

Status = Literal["running", "paused", "succeeded", "failed", "cancelled"]
STRICT = ConfigDict(extra="forbid", strict=True)
EXAMPLE_ID = "study_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3"
DATASET = "ds_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3"
SPACE: dict[str, JsonValue] = {
    "learning_rate": {"type": "float", "low": 0.0001, "high": 0.1, "log": True},
    "hidden": {"type": "categorical", "choices": [[64], [128, 128], [256, 256]]},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
}


class StudyLimits(BaseModel):
    """How much a study may use: as a whole, and each of its trials."""

    model_config = STRICT

    wall_seconds: float | None = Field(
        None, gt=0, le=10**8, allow_inf_nan=False, description="The study ends there with the best so far."
    )
    trial_wall_seconds: float | None = Field(
        None, gt=0, le=10**8, allow_inf_nan=False, description="Training of a trial stops there and keeps its best."
    )
    memory_bytes: int | None = Field(None, ge=256 << 20, description="Memory of the training of a trial.")


class StudyCreate(BaseModel):
    """A study: with `dataset` and `target` its trials are jobs here, with `external` a client trains them."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"dataset": DATASET, "target": "species", "space": SPACE, "num_trials": 40},
                {
                    "dataset": DATASET,
                    "target": "species",
                    "model": "penguins",
                    "spec": "dense",
                    "params": {"epochs": 60},
                    "space": SPACE,
                    "metric": "accuracy",
                    "sampler": "tpe",
                    "pruner": "asha",
                    "num_trials": 40,
                    "parallel": 2,
                    "limits": {"wall_seconds": 600},
                },
                {"external": True, "space": SPACE, "direction": "maximize", "num_trials": 100},
            ]
        },
    )

    space: Annotated[dict[str, Any], WithJsonSchema(SCHEMA)] = Field(
        description="What is tried of each parameter: `int` and `float` ranges, `categorical` choices."
    )
    external: bool = Field(False, description="A client asks for parameters and tells what they came to.")
    dataset: str | None = Field(None, min_length=1, max_length=64, description="Id of the data set to learn from.")
    target: str | None = Field(None, min_length=1, max_length=1000, description="Column to predict.")
    model: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="Name under which the best trial is stored as a new version; default: the data set's name.",
    )
    task: Task | None = Field(None, description="What kind of prediction; default: what fits the target column.")
    spec: str | None = Field(None, min_length=1, max_length=200, description="A name from GET /v1/specs.")
    params: dict[str, Any] | None = Field(None, description="Parameters that all trials share.")
    preparation: dict[str, Any] | None = Field(None, description="How columns become numbers, in all trials.")
    split: dict[str, Any] | None = Field(None, description="Which rows train, validate and test, in all trials.")
    metric: str | None = Field(
        None, min_length=1, max_length=64, description="Metric of the validation part; default: log_loss or rmse."
    )
    direction: Direction | None = Field(None, description="Default: what is good for the metric; external: minimize.")
    sampler: Sampler | None = Field(None, description="Default: tpe where Optuna is installed, random elsewhere.")
    pruner: Pruner = Field("none", description="Ends trials early that are worse than others were at the same epoch.")
    num_trials: int | None = Field(None, ge=1, le=10_000, description="Default: 20; of a grid, all of it.")
    parallel: int | None = Field(
        None, ge=1, le=1000, description="Most trials at a time; default and limit: a worker's slots, if not external."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Of the sampler and of every training.")
    priority: int = Field(0, ge=-1000, le=1000, description="Of the trials' jobs: higher runs first.")
    limits: StudyLimits = Field(default_factory=StudyLimits, description="Of the study and of each trial.")
    lease_seconds: float | None = Field(
        None,
        ge=1,
        le=10**7,
        allow_inf_nan=False,
        description="External: a trial of which nothing was heard for so long is given up; default: 3600.",
    )


class BestRead(BaseModel):
    """The best trial so far."""

    trial: int
    value: float
    params: dict[str, Any]
    job: str | None


class CountsRead(BaseModel):
    """How many trials are in each state."""

    running: int = 0
    completed: int = 0
    pruned: int = 0
    failed: int = 0


class StudyRead(BaseModel):
    """A study: what it searches, how far it is, what is best so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE_ID,
                    "object": "study",
                    "status": "running",
                    "control": None,
                    "external": False,
                    "dataset": DATASET,
                    "target": "species",
                    "model": "penguins",
                    "model_version": None,
                    "spec": "dense",
                    "task": "multiclass",
                    "space": SPACE,
                    "params": {"epochs": 60},
                    "preparation": {},
                    "split": {"method": "stratified", "validation": 0.15, "test": 0.15},
                    "metric": "log_loss",
                    "direction": "minimize",
                    "sampler": "tpe",
                    "pruner": "median",
                    "num_trials": 40,
                    "parallel": 2,
                    "seed": 0,
                    "priority": 0,
                    "limits": {"wall_seconds": None, "trial_wall_seconds": None, "memory_bytes": None},
                    "lease_seconds": None,
                    "trials": {"running": 2, "completed": 7, "pruned": 3, "failed": 0},
                    "best": {
                        "trial": 5,
                        "value": 0.031,
                        "params": {"learning_rate": 0.004, "hidden": [128, 128], "dropout": 0.1},
                        "job": "job_01938f2c7f0a7cc2a1d4b7e6f0a1b2c3",
                    },
                    "importances": None,
                    "error": None,
                    "created_at": "2026-11-24T09:00:00Z",
                    "finished_at": None,
                }
            ]
        }
    )

    id: str
    object: Literal["study"] = "study"
    status: Status
    control: Literal["cancel", "finish"] | None = Field(description="What was asked and is not yet done.")
    external: bool
    dataset: str | None
    target: str | None
    model: str | None
    model_version: str | None = Field(description="The best trial, as predictions name it: penguins@1.")
    spec: str | None
    task: Task | None
    space: dict[str, Any]
    params: dict[str, Any]
    preparation: dict[str, Any]
    split: dict[str, Any]
    metric: str | None = Field(description="Null in external studies, where clients tell a value.")
    direction: Direction
    sampler: Sampler
    pruner: Pruner
    num_trials: int
    parallel: int | None
    seed: int
    priority: int
    limits: StudyLimits
    lease_seconds: float | None
    trials: CountsRead
    best: BestRead | None
    importances: dict[str, float] | None = Field(
        description="How much each parameter mattered, the most important first; they sum to 1. Null with fewer than "
        "20 completed trials, when all came to the same, in lists, and in answers to anything but GET."
    )
    error: dict[str, Any] | None = Field(description="Why it failed: code and message.")
    created_at: datetime
    finished_at: datetime | None


class StudyEventRead(BaseModel):
    """Something that happened to a study; `seq` counts 1, 2, 3 … without gaps."""

    seq: int
    object: Literal["study_event"] = "study_event"
    type: str
    level: Literal["info", "warning", "error"]
    message: str
    data: dict[str, Any]
    created_at: datetime
