"""What a spec is, and all that the file of one needs; imports no torch.

A spec is a recipe under a name: parameters with ranges, a network to build from them, the tasks it solves
and where it comes from. Networks return raw outputs: logits, or a value in the target's learned scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from app.learning.layout import Layout
from app.learning.training_params import BASIC, BatchSize, EarlyStopping, Params, TrainingParams, inconsistent

if TYPE_CHECKING:
    from torch import dtype, nn

# A spec's file imports from here alone.
__all__ = [
    "BASIC",
    "CLASSIFICATION",
    "LOSSES",
    "NAME",
    "BatchSize",
    "Defaults",
    "EarlyStopping",
    "Layout",
    "Params",
    "Spec",
    "Stated",
    "Task",
    "TrainingParams",
    "as_network",
    "describe",
    "inconsistent",
    "no_defaults",
]  # fmt: skip

# How a spec is named; a reference is such a name, or name@version.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
Task = Literal["binary", "multiclass", "regression", "soft"]
CLASSIFICATION = frozenset({"binary", "multiclass"})
LOSSES: dict[str, tuple[str, ...]] = {
    "binary": ("cross_entropy", "mse"),
    "multiclass": ("cross_entropy",),
    "regression": ("mse", "mae", "huber"),
    "soft": ("cross_entropy", "mse"),
}

Build = Callable[[Layout, int, Any, "dtype"], "nn.Module"]
Stated = Mapping[str, Any]
Defaults = Callable[[Task, int, Stated], Mapping[str, Any]]


def no_defaults(task: Task, num_rows: int, stated: Stated) -> Mapping[str, Any]:
    """Return nothing: most specs start alike whatever the task and however many rows."""
    return {}


@dataclass(frozen=True, slots=True)
class Spec:
    """A recipe that can be trained.

    `build(layout, num_outputs, params, dtype)` returns the network, its initial weights drawn from torch's
    global generator; `num_parameters(layout, num_outputs, params)` counts them without torch. `preparation`
    holds policies that it prefers to ours, under "numeric" and "category"; `takes_indices` says that it can read
    categories as numbers of slots. `defaults(task, num_rows, stated)` are the defaults that depend on the task, on the
    rows of the data set and on what the request states. What a network may offer beside stands in
    networks/abilities.py. An ensemble has no `build`: it learns networks of other specs. `declaration` is what one
    without code was declared as.
    """

    name: str
    version: int
    summary: str
    source: str
    tasks: tuple[Task, ...]
    params: type[Params]
    build: Build | None
    num_parameters: Callable[[Layout, int, Any], int]
    preparation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    takes_indices: bool = False
    defaults: Defaults = no_defaults
    declaration: Mapping[str, Any] | None = None


def as_network(spec: Spec, params: Params) -> tuple[Build, TrainingParams]:
    """Return how the one network of a spec is built, and the parameters of its training.

    Raises: TypeError of an ensemble, which has none.
    """
    if spec.build is None or not isinstance(params, TrainingParams):
        raise TypeError(f"{spec.name} is no spec of a network")
    return spec.build, params


def describe(spec: Spec) -> dict[str, Any]:
    """Return the spec as JSON good enough to draw a form: parameters with type, default, range and help."""
    schema = spec.params.model_json_schema()
    defaults = spec.params().model_dump(mode="json")
    return {
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "source": spec.source,
        "tasks": list(spec.tasks),
        "parameters": [_parameter(name, field, defaults[name]) for name, field in schema["properties"].items()],
        "schema": schema,
    }


def _parameter(name: str, field: dict[str, Any], default: Any) -> dict[str, Any]:
    options = field.get("anyOf", [field])
    main = next(option for option in options if option.get("type") != "null")
    constants = [[option["const"]] if "const" in option else option.get("enum", []) for option in options]
    choices = [choice for option in constants for choice in option]
    bounds = main.get("items", main)
    choices += bounds.get("enum", []) if bounds is not main else []
    return {
        "name": name,
        "type": main.get("type", "object"),
        "nullable": any(option.get("type") == "null" for option in options),
        "default": default,
        "minimum": bounds.get("minimum"),
        "maximum": bounds.get("maximum"),
        "max_items": main.get("maxItems"),
        "choices": choices or None,
        "level": field.get("level", "advanced"),
        "help": field.get("description", ""),
    }
