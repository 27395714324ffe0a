"""Who can be in an ensemble, by name: one line per member; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from app.learning import specs
from app.learning.ensemble.looks import MAX_CLASSES, look_at
from app.learning.layout import Layout
from app.learning.spec import Build, Task, TrainingParams, as_network

# About what some hundred trees come to.
NUMBERS_OF_TREES = 50_000

Name = Literal["linear", "realmlp", "bins", "fine-bins", "trees"]


@dataclass(frozen=True, slots=True)
class Network:
    """A network of a registered spec with some parameters set; `levels`: it gets statistics of repeated numbers."""

    spec: str
    params: Mapping[str, Any] = field(default_factory=dict)
    levels: bool = False

    def resolve(self, task: Task, num_rows: int, **sized: Any) -> tuple[Build, TrainingParams]:
        """Return how it is built and its parameters, weakest first: the spec's defaults, `sized`, ours."""
        spec = specs.get(self.spec)
        params = spec.params.model_validate({**spec.defaults(task, num_rows, {}), **sized, **self.params})
        return as_network(spec, params)


@dataclass(frozen=True, slots=True)
class Boosted:
    """Gradient-boosted trees; `package` is what must be installed to learn them, not to predict."""

    package: str
    levels: bool = True


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model with a little L2 (evaluation/linear.py), of statistics instead of slots where there are many."""

    levels: bool = False


Recipe = Network | Boosted | Linear

ROSTER: dict[Name, Recipe] = {
    "linear": Linear(),
    "realmlp": Network("realmlp"),
    "bins": Network("realmlp", {"number_embedding": "piecewise_linear", "num_bins": 16}),
    "fine-bins": Network("realmlp", {"number_embedding": "piecewise_linear", "num_bins": 48}, levels=True),
    "trees": Boosted("lightgbm"),
}


def is_available(name: Name) -> bool:
    """Whether a member can learn here."""
    recipe = ROSTER[name]
    return not isinstance(recipe, Boosted) or find_spec(recipe.package) is not None


def num_parameters(name: Name, layout: Layout, num_outputs: int, task: Task) -> int:
    """Return about how many numbers one network of this member has."""
    recipe = ROSTER[name]
    if isinstance(recipe, Boosted):
        return NUMBERS_OF_TREES * num_outputs
    num_targets = 1 if num_outputs <= 2 else min(num_outputs, MAX_CLASSES)
    seen = look_at(layout, num_targets, levels=recipe.levels).layout
    if isinstance(recipe, Linear):
        return (seen.num_numbers + seen.num_flags + sum(block.num_slots for block in seen.blocks) + 1) * num_outputs
    _, params = recipe.resolve(task, 0)
    return specs.get(recipe.spec).num_parameters(seen, num_outputs, params)
