"""The default, and its bigger brother: several learners, each on folds of the rows, their answers averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from app.learning.layout import Layout
from app.learning.spec import BASIC, Params, Spec, Stated, Task, inconsistent

# The names of ensemble/roster.py, which this file could not import without importing itself; a test compares them.
Member = Literal["linear", "realmlp", "bins", "fine-bins", "trees"]
NETWORKS: tuple[Member, ...] = ("linear", "realmlp", "bins", "fine-bins")
SOURCE = (
    "RealMLP, Holzmüller et al., arXiv 2407.04491, with periodic and piecewise-linear numbers, Gorishniy et al., "
    "arXiv 2203.05556; target statistics, Micci-Barreca, SIGKDD Explorations 2001; folds as in AutoGluon, Erickson et "
    "al., arXiv 2003.06505; weights by selection, Caruana et al., ICML 2004"
)


class EnsembleParams(Params):
    """Parameters of `ensemble`: who is in it, and how long it may take."""

    members: list[Member] = Field(
        default=list(NETWORKS),
        min_length=1,
        max_length=8,
        description="Who learns: linear models; networks with cosines, bins, or fine bins and repeated values; trees.",
        json_schema_extra=BASIC,
    )
    folds: int = Field(
        5,
        ge=2,
        le=20,
        description="Parts of the rows; each member learns all but one, in turn.",
        json_schema_extra=BASIC,
    )
    budget_seconds: float = Field(
        120.0, ge=1.0, le=1e6, description="No network is begun that would not end within it.", json_schema_extra=BASIC
    )
    refit_rows: int = Field(
        20_000, ge=0, le=10**9, description="Up to so many rows are all learned again once the test part has measured."
    )

    @model_validator(mode="after")
    def _can_learn(self) -> Self:
        from app.learning.ensemble import roster

        if len(set(self.members)) < len(self.members):
            raise inconsistent("members", "a member can be in it only once")
        for name in self.members:
            if not roster.is_available(name):
                raise inconsistent("members", f"{name} cannot learn here: install maas with the extra {name}")
        return self


class AutoParams(EnsembleParams):
    """Parameters of `auto`: as those of `ensemble`, with more time, and everybody who can learn here."""

    budget_seconds: float = Field(
        240.0, ge=1.0, le=1e6, description="No network is begun that would not end within it.", json_schema_extra=BASIC
    )


def everybody(task: Task, num_rows: int, stated: Stated) -> Mapping[str, Any]:
    """Return all members that can learn here: trees only where their library is installed."""
    from app.learning.ensemble import roster

    return {"members": [name for name in ("trees", *NETWORKS) if roster.is_available(name)]}


def num_parameters(layout: Layout, num_outputs: int, params: Any) -> int:
    """Return about how many weights all networks have together."""
    from app.learning.ensemble import roster

    task: Task = "regression" if num_outputs == 1 else "multiclass"
    return sum(params.folds * roster.num_parameters(name, layout, num_outputs, task) for name in params.members)


PREPARATION = {
    "numeric": {"scaling": "robust", "levels": 1000},
    "category": {"encoding": "index", "max_categories": 10_000},
}

ENSEMBLE = Spec(
    name="ensemble",
    version=1,
    summary="Linear models and networks, learned on folds of the rows, averaged by what they answer on unseen rows.",
    source=SOURCE + ".",
    tasks=("binary", "multiclass", "regression", "soft"),
    params=EnsembleParams,
    build=None,
    num_parameters=num_parameters,
    preparation=PREPARATION,
    takes_indices=True,
)

AUTO = Spec(
    name="auto",
    version=1,
    summary="As ensemble, with boosted trees where their library is installed and more time; a leaderboard shows all.",
    source=SOURCE + "; LightGBM, Ke et al., NIPS 2017.",
    tasks=("binary", "multiclass", "regression", "soft"),
    params=AutoParams,
    build=None,
    num_parameters=num_parameters,
    preparation=PREPARATION,
    takes_indices=True,
    defaults=everybody,
)
