"""The spec that comes of a declaration: the shared training parameters with its defaults, its network when built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from pydantic import create_model, model_validator

from app.learning.declared import arithmetic
from app.learning.declared.grammar import Declaration, normalizes_batches
from app.learning.declared.reading import digest
from app.learning.errors import LearningError, shown
from app.learning.layout import Layout
from app.learning.spec import Spec, TrainingParams
from app.learning.specs.dense import refuse_single_rows

if TYPE_CHECKING:
    from torch import dtype, nn

KEPT_MODELS = 256


def make_spec(name: str, stored: Mapping[str, Any]) -> Spec:
    """Return the spec of a stored declaration, which has `version`, `sha256` and what was declared.

    Raises: LearningError when it does not match its digest.
    """
    if digest(stored) != stored["sha256"]:
        raise LearningError(f"The declaration of spec {shown(name)} does not match its digest.", pointer="/spec")
    declared = Declaration.model_validate({part: stored[part] for part in ("description", "network", "params")})
    network = declared.network

    def build(layout: Layout, num_outputs: int, params: TrainingParams, dtype: dtype) -> nn.Module:
        """Return the network.

        Shapes: x_BF (rows, layout.num_inputs) to raw outputs (rows, num_outputs).
        Deterministic: a function of torch's global generator.
        """
        from app.learning.networks.declared import build

        return build(network, layout, num_outputs, dtype)

    def num_parameters(layout: Layout, num_outputs: int, params: TrainingParams) -> int:
        """Return the number of all that is learned."""
        return arithmetic.num_parameters(network, layout, num_outputs)

    embeds = network.embeddings.categories is not None
    return Spec(
        name=name, version=stored["version"], summary=stored["description"], source="declared in this project",
        tasks=("binary", "multiclass", "regression", "soft"),
        params=params_model(json.dumps(stored["params"], sort_keys=True), normalizes_batches(network)),
        build=build, num_parameters=num_parameters,
        preparation={"category": {"encoding": "index"}} if embeds else {},
        takes_indices=embeds, declaration=stored,
    )  # fmt: skip


@lru_cache(KEPT_MODELS)
def params_model(defaults: str, needs_variance: bool) -> type[TrainingParams]:
    """Return the training parameters with other defaults, a JSON object of values that were checked."""
    stated: dict[str, Any] = json.loads(defaults)

    class DeclaredParams(TrainingParams):
        """Parameters of a declared network: only how it is optimised."""

        @model_validator(mode="before")
        @classmethod
        def _as_declared(cls, data: Any) -> Any:
            # Before the defaults that follow the optimizer are filled in: what was declared is stronger.
            return stated | data if isinstance(data, dict) else data

        @model_validator(mode="after")
        def _batches_have_variance(self) -> Self:
            if needs_variance:
                refuse_single_rows(self)
            return self

    checked = TrainingParams.model_validate(stated)
    fields: dict[str, Any] = {}
    for name in stated:
        field = copy(TrainingParams.model_fields[name])
        field.default, field.default_factory = getattr(checked, name), None
        fields[name] = (field.annotation, field)
    return create_model("DeclaredParams", __base__=DeclaredParams, **fields)
