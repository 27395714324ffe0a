"""What a training request means, decided before anything is read: checked by the API, repeated by the child.

Deterministic: the same request and columns give the same plan, and planning a plan changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.learning import specs
from app.learning.data import Column
from app.learning.declared.spec import make_spec
from app.learning.errors import LearningError, json_pointer, shown
from app.learning.layout import Block, Layout
from app.learning.policies import CategoryPolicy, ExtraColumns, PreparationParams, Treatment, treatments
from app.learning.problems import problems_of
from app.learning.spec import CLASSIFICATION, LOSSES, Params, Spec, Task
from app.learning.splits import Split, resolve_split
from app.learning.tasks import choose_task
from app.learning.training_params import TrainingParams, defaults_of_optimizer

MAX_PARAMETERS = 50_000_000
MAX_CLASSES = 1000
MAX_SEED = 2**63 - 1

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked request: typed parameters, and the treatment of every input column."""

    spec: Spec
    task: Task
    target: Column
    params: Params
    preparation: PreparationParams
    split: Split
    seed: int
    treatments: tuple[Treatment, ...]
    layout: Layout
    num_outputs: int

    @property
    def loss(self) -> str:
        """Return the loss that `auto` stands for."""
        stated = self.params.loss if isinstance(self.params, TrainingParams) else "auto"
        return LOSSES[self.task][0] if stated == "auto" else stated

    def to_json(self) -> dict[str, Any]:
        """Return the resolved request; sizes are estimates until the training rows are known."""
        declared = {} if self.spec.declaration is None else {"declaration": dict(self.spec.declaration)}
        return {
            "spec": self.spec.name,
            "spec_version": self.spec.version,
            **declared,
            "task": self.task,
            "target": self.target["name"],
            "params": self.params.model_dump(mode="json") | ({"loss": self.loss} if self.spec.build else {}),
            # What was not said stays unsaid, because the data set's own policies come before our defaults.
            "preparation": self.preparation.model_dump(mode="json", exclude_unset=True),
            "split": self.split.model_dump(mode="json"),
            "seed": self.seed,
            "inputs": [_treatment_to_json(item) for item in self.treatments],
            "estimate": {
                "num_inputs": self.layout.num_inputs,
                "num_outputs": self.num_outputs,
                "num_parameters": self.spec.num_parameters(self.layout, self.num_outputs, self.params),
            },
        }


def plan(columns: Sequence[Column], target: str, **request: Any) -> dict[str, Any]:
    """Return `resolve(...)` as JSON: the resolved, validated request."""
    return resolve(columns, target, **request).to_json()


def resolve(
    columns: Sequence[Column],
    target: str,
    *,
    num_rows: int,
    spec: str = "dense",
    declaration: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    preparation: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
    task: str | None = None,
    seed: int = 0,
    extra_columns: ExtraColumns | None = None,
    max_parameters: int = MAX_PARAMETERS,
) -> Plan:
    """Check a request against the columns of its data set: `name`, `type` and, where known, counts and range.

    `declaration` is that of a spec without code; `extra_columns` the data set's policy, for a request without one.
    Takes no memory for the network. Raises: LearningError whose `errors` point at every invalid parameter.
    """
    recipe = specs.get(spec) if declaration is None else make_spec(spec, declaration)
    target_column = _find_target(columns, target)
    checked_preparation = _preparation(preparation, extra_columns)
    _check_seed(seed)
    if num_rows < 2:
        raise LearningError("Training needs at least two rows.", code="too-few-rows", pointer="/dataset")
    chosen = choose_task(target_column, task, num_rows)
    _check_task(recipe, chosen)
    checked_params = _params(recipe, params, chosen, num_rows)
    _check_loss(checked_params, chosen)
    checked_split = resolve_split(_validate(Split, split, "split"), chosen, columns, target, num_rows)
    decided = treatments(columns, checked_preparation, [target, checked_split.column], recipe.preparation)
    _check_encodings(recipe, decided)
    layout = estimate_layout(decided, columns)
    num_outputs = _num_outputs(chosen, target_column)
    _check_size(recipe, recipe.num_parameters(layout, num_outputs, checked_params), max_parameters)
    return Plan(
        recipe, chosen, target_column, checked_params, checked_preparation, checked_split, seed,
        tuple(decided), layout, num_outputs,
    )  # fmt: skip


def _check_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise LearningError(f"The seed must be an integer from 0 to {MAX_SEED}.", pointer="/seed")


def _validate(model: type[Model], data: Mapping[str, Any] | None, where: str) -> Model:
    try:
        return model.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = problems_of(error, data, where)
        raise LearningError(problems[0]["detail"], pointer=problems[0]["pointer"], errors=problems) from None


def _params(recipe: Spec, params: Mapping[str, Any] | None, task: Task, num_rows: int) -> Params:
    """Fill in what is not said, weakest first: the spec's defaults, those of the task, those of the optimizer."""
    stated = {} if params is None else params
    if not isinstance(stated, Mapping):
        return _validate(recipe.params, stated, "params")
    decided = defaults_of_optimizer(stated.get("optimizer"))
    usual = {name: value for name, value in recipe.defaults(task, num_rows, stated).items() if name not in decided}
    return _validate(recipe.params, {**usual, **stated}, "params")


def _preparation(preparation: Mapping[str, Any] | None, extra_columns: ExtraColumns | None) -> PreparationParams:
    checked = _validate(PreparationParams, preparation, "preparation")
    if extra_columns is None or "extra_columns" in checked.model_fields_set:
        return checked
    return checked.model_copy(update={"extra_columns": extra_columns})


def _find_target(columns: Sequence[Column], target: str) -> Column:
    for column in columns:
        if column["name"] == target:
            return column
    raise LearningError(f"The data set has no column {shown(target)}.", pointer="/target")


def _check_task(spec: Spec, task: Task) -> None:
    if task not in spec.tasks:
        raise LearningError(f"Spec {spec.name} does not solve the task {task}.", pointer="/task")


def _check_loss(params: Params, task: Task) -> None:
    if not isinstance(params, TrainingParams):
        return
    if params.loss != "auto" and params.loss not in LOSSES[task]:
        fitting = ", ".join(LOSSES[task])
        raise LearningError(f"Loss {params.loss} does not fit the task {task}; use {fitting}.", pointer="/params/loss")
    if task not in CLASSIFICATION and params.class_weights != "none":
        raise LearningError("Class weights need classes.", pointer="/params/class_weights")
    if params.label_smoothing and (task not in CLASSIFICATION or params.loss == "mse"):
        raise LearningError("Label smoothing needs classes and cross-entropy.", pointer="/params/label_smoothing")


def _check_encodings(spec: Spec, decided: Sequence[Treatment]) -> None:
    for item in decided:
        policy = item.policy
        asked = None
        if isinstance(policy, CategoryPolicy):
            asked = "encoding" if policy.encoding == "index" else None
        elif policy is not None and policy.levels:
            asked = "levels"
        if asked and not spec.takes_indices:
            raise LearningError(
                f"Spec {spec.name} has no embeddings, so {asked} cannot be {getattr(policy, asked)}.",
                pointer=json_pointer("preparation", "columns", item.name, asked),
            )


def estimate_layout(decided: Sequence[Treatment], columns: Sequence[Column]) -> Layout:
    """Return about how the inputs of the network will be laid out, from the counts that came with the data set."""
    by_name = {column["name"]: column for column in columns}
    num_numbers = num_flags = 0
    blocks, scales = [], []
    for item in decided:
        has_missing = int(by_name[item.name].get("num_missing") or 0) > 0
        if isinstance(item.policy, CategoryPolicy):
            num_distinct = int(by_name[item.name].get("num_distinct") or 1)
            num_slots = min(num_distinct, item.policy.max_categories) + 1 + has_missing
            blocks.append(Block(item.policy.encoding, num_slots))
        elif item.policy is not None:
            num_numbers += 1
            indicator = item.policy.missing_indicator
            num_flags += indicator == "always" or (indicator == "auto" and has_missing)
            num_distinct = int(by_name[item.name].get("num_distinct") or 1)
            if num_distinct <= item.policy.levels:
                scales.append(Block("levels", num_distinct))
    return Layout(num_numbers, num_flags, tuple(blocks + scales))


def _num_outputs(task: Task, target: Column) -> int:
    if task != "multiclass":
        return 1
    num_classes = int(target.get("num_distinct") or 2)
    if num_classes > MAX_CLASSES:
        raise LearningError(
            f"The target has {num_classes} classes; at most {MAX_CLASSES} can be learned.", pointer="/target"
        )
    return num_classes


def _check_size(spec: Spec, num_parameters: int, max_parameters: int) -> None:
    if num_parameters > max_parameters:
        by_params = "/params/hidden" if "hidden" in spec.params.model_fields else "/params"
        raise LearningError(
            f"The network would have {num_parameters:,} parameters; at most {max_parameters:,} are allowed.",
            code="limits-exceeded",
            # What was declared is no part of this request.
            pointer="/spec" if spec.declaration else by_params,
        )


def _treatment_to_json(treatment: Treatment) -> dict[str, Any]:
    policy = treatment.policy
    role = "left_out" if policy is None else "category" if isinstance(policy, CategoryPolicy) else "numeric"
    described: dict[str, Any] = {"name": treatment.name, "type": treatment.stored, "role": role}
    if treatment.type != treatment.stored:
        described["read_as"] = treatment.type
    if policy is None:
        return described | {"reason": treatment.reason}
    return described | {"policy": policy.model_dump(mode="json")}
