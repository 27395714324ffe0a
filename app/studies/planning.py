"""What a study request means, every default filled in and held against data set and spec before anything runs.

The plan is stored with the study and never changes: trials, however much later, are planned from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.jobs import service as jobs
from app.jobs.schemas import JobCreate, Limits
from app.learning.errors import LearningError
from app.learning.objectives import Direction, objective
from app.learning.spec import Task
from app.learning.tuning import space as spaces
from app.learning.tuning.pruners import Pruner
from app.learning.tuning.samplers import Sampler, has_optuna
from app.learning.tuning.space import Space
from app.principal import Principal
from app.settings import Settings
from app.studies.schemas import StudyCreate, StudyLimits
from app.tables import DatasetRow, StudyRow

DEFAULT_TRIALS = 20
DEFAULT_LEASE_SECONDS = 3600.0
OF_JOBS = ("dataset", "target", "model", "task", "spec", "params", "preparation", "split", "metric")
NO_OPTUNA = "tpe needs Optuna, which is not installed here: pip install 'maas[tune]'. random and grid need nothing."


@dataclass(frozen=True)
class Caller:
    """Whose study it is, what it learns from, and what bounds it."""

    session: Session
    principal: Principal
    dataset: DatasetRow
    settings: Settings


class Plan(BaseModel):
    """A checked study; members that only jobs have are None in external studies."""

    model_config = ConfigDict(frozen=True)

    space: dict[str, Any]
    target: str | None = None
    task: Task | None = None
    spec: str | None = None
    params: dict[str, Any] = {}
    preparation: dict[str, Any] = {}
    split: dict[str, Any] = {}
    metric: str | None = None
    direction: Direction
    sampler: Sampler
    pruner: Pruner
    num_trials: int
    parallel: int | None
    seed: int
    priority: int
    limits: StudyLimits
    lease_seconds: float | None = None

    @property
    def dimensions(self) -> Space:
        """The space, ready to draw from."""
        return spaces.parse(self.space)

    def loss(self, value: float) -> float:
        """A value as a loss: smaller is better."""
        return value if self.direction == "minimize" else -value

    def reported_loss(self, value: float) -> float:
        """A report as a loss; jobs report a loss already, whatever the study aims at."""
        return value if self.metric is not None else self.loss(value)


def plan_of(study: StudyRow) -> Plan:
    """The stored plan of a study."""
    return Plan.model_validate(study.plan)


def trial_request(study: StudyRow, plan: Plan, params: dict[str, Any]) -> JobCreate:
    """The job that tries these parameters."""
    return _job(
        {name: getattr(plan, name) for name in ("target", "task", "spec", "preparation", "split", "seed", "priority")},
        dataset=study.dataset_id or "",
        model=study.model,
        params={**plan.params, **params},
        limits=plan.limits,
    )


def make_plan(
    session: Session, principal: Principal, request: StudyCreate, dataset: DatasetRow | None, settings: Settings
) -> Plan:
    """The resolved request. Raises: Invalid pointing at each impossible value."""
    try:
        space = spaces.parse(request.space)
        common = _common(request, space)
        if dataset is None:
            return _external(request, common)
        return _of_jobs(request, common, space, Caller(session, principal, dataset, settings))
    except LearningError as error:
        raise Invalid(error.message, errors=[dict(each) for each in error.errors]) from None


def check_kind(request: StudyCreate) -> None:
    """Refuse members that belong to the other kind of study. Raises: Invalid naming each."""
    if request.external:
        wrong = [name for name in OF_JOBS if getattr(request, name) is not None]
        detail = "An external study trains elsewhere: leave this out."
        limits = request.limits.model_dump(exclude_none=True, exclude={"wall_seconds"})
        pointers = [f"/{name}" for name in wrong] + [f"/limits/{name}" for name in limits]
    else:
        pointers = [f"/{name}" for name in ("dataset", "target") if getattr(request, name) is None]
        detail = "Field required, unless the study is external."
        if request.lease_seconds is not None:
            pointers, detail = ["/lease_seconds"], "Only external trials have a lease of their own."
    if pointers:
        raise Invalid(detail, errors=[{"pointer": pointer, "detail": detail} for pointer in pointers])


def _common(request: StudyCreate, space: Space) -> dict[str, Any]:
    sampler = request.sampler or ("tpe" if has_optuna() else "random")
    if sampler == "tpe" and not has_optuna():
        raise LearningError(NO_OPTUNA, pointer="/sampler")
    num_trials = request.num_trials or DEFAULT_TRIALS
    if sampler == "grid":
        size = spaces.check_grid(space)
        num_trials = min(request.num_trials or size, size)
    return {
        "space": {name: dimension.model_dump(mode="json") for name, dimension in space.items()},
        "sampler": sampler,
        "pruner": request.pruner,
        "num_trials": num_trials,
        "seed": request.seed,
        "priority": request.priority,
        "limits": request.limits,
    }


def _external(request: StudyCreate, common: dict[str, Any]) -> Plan:
    return Plan(
        **common,
        direction=request.direction or "minimize",
        parallel=request.parallel,
        lease_seconds=request.lease_seconds or DEFAULT_LEASE_SECONDS,
    )


def _of_jobs(request: StudyCreate, common: dict[str, Any], space: Space, caller: Caller) -> Plan:
    given = {name: getattr(request, name) for name in ("target", "task", "spec", "preparation", "split")}
    first, last = spaces.corners(space)
    probe = _job(given, dataset=caller.dataset.id, params={**(request.params or {}), **first}, limits=request.limits)
    spec = jobs.find_spec(caller.session, caller.principal, probe.spec_or_default)
    spaces.check_parameters(space, spec.params, request.params or {})
    resolved = _resolved(probe, space, caller)
    _resolved(probe.model_copy(update={"params": {**(request.params or {}), **last}}), space, caller)
    if not resolved["split"]["validation"] and resolved["split"]["method"] != "column":
        detail = "Trials are compared on the validation part: it needs rows."
        raise LearningError(detail, pointer="/split/validation")
    slots = caller.settings.worker_slots
    metric, direction = objective(resolved["task"], request.metric, request.direction)
    return Plan(
        **common,
        **{name: resolved[name] for name in ("target", "task", "preparation", "split")},
        # A declared spec may get another version while the study goes on.
        spec=spec.name if spec.declaration is None else f"{spec.name}@{spec.version}",
        params=request.params or {},
        metric=metric,
        direction=direction,
        parallel=min(request.parallel or slots, slots),
    )


def _resolved(probe: JobCreate, space: Space, caller: Caller) -> dict[str, Any]:
    """The plan of one trial; what is wrong with it is told in terms of the study's request."""
    try:
        jobs.limits(probe, caller.settings)
        return jobs.plan(caller.session, caller.principal, caller.dataset, probe, caller.settings)
    except Invalid as error:
        for each in error.errors:
            each["pointer"] = spaces.into_space(each["pointer"], space).replace("limits/wall", "limits/trial_wall")
        raise


def _job(given: dict[str, Any], *, limits: StudyLimits, **more: Any) -> JobCreate:
    # What was not said is left out, so that the defaults are those of any other job.
    known = {name: value for name, value in {**given, **more}.items() if value is not None}
    of_a_trial = Limits(wall_seconds=limits.trial_wall_seconds, memory_bytes=limits.memory_bytes)
    return JobCreate(**known, limits=of_a_trial)
