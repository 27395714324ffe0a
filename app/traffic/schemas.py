"""What the routes of aliases and gates read and show."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.learning.metrics import HIGHER_IS_BETTER
from app.models.reference import ALIAS

MetricName = Literal[
    "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "pr_auc", "r2",
    "log_loss", "brier", "ece", "rmse", "mae", "pinball",
]  # fmt: skip
VersionNumber = Annotated[int, Field(ge=1, le=10**9)]
Share = Annotated[float, Field(gt=0, le=1)]
Split = dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")], Share]
MOST_VERSIONS = 16
# Weights are decimal fractions, which do not add up to 1 exactly.
TOLERANCE = 1e-6


class AliasWrite(BaseModel):
    """Where an alias points from now on: at one version, or at several, each with its share of the requests."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"version": 2}, {"split": {"3": 0.9, "4": 0.1}}, {"version": 2, "force": True}]
        },
    )

    version: VersionNumber | None = Field(None, description="Number of a version.")
    split: Split | None = Field(
        None, min_length=1, max_length=MOST_VERSIONS, description="Shares of versions by number; together 1."
    )
    force: bool = Field(False, description="Move it whatever its gates say; the audit trail tells so.")

    @model_validator(mode="after")
    def _is_one_target(self) -> AliasWrite:
        if (self.version is None) == (self.split is None):
            raise ValueError("send either `version` or `split`")
        if self.split is not None and not math.isclose(sum(self.split.values()), 1, abs_tol=TOLERANCE):
            raise ValueError(f"the shares of `split` are {sum(self.split.values()):.6g} together, not 1")
        return self


class AliasRead(BaseModel):
    """A name that points at a version; `etag` is what `If-Match` takes."""

    alias: str
    object: Literal["alias"] = "alias"
    model: str
    version: int = Field(description="Of a split, the version with the greatest share.")
    split: dict[str, float] | None = Field(description="Shares of versions by number, where there are several.")
    etag: str
    updated_at: datetime


class MoveRead(BaseModel):
    """Where an alias pointed since a revision."""

    object: Literal["alias_move"] = "alias_move"
    revision: int
    action: Literal["point", "rollback", "delete", "withdraw"] = Field(
        description="`withdraw`: a version was deleted with the data that it was learned from."
    )
    version: int | None = Field(description="None since it was deleted.")
    split: dict[str, float] | None
    back: int | None = Field(description="The revision to whose target a rollback returns.")
    forced: bool = Field(description="Whether it was moved past its gates.")
    key: str | None = Field(description="Id of the key that moved it.")
    created_at: datetime


class MetricRule(BaseModel):
    """A metric on the test part is at least `min`, or for losses at most `max`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rule: Literal["metric"]
    metric: MetricName
    min: float | None = Field(None, description="For metrics of which more is better.")
    max: float | None = Field(None, description="For losses.")

    @model_validator(mode="after")
    def _bounds_the_right_side(self) -> MetricRule:
        wanted = "min" if self.metric in HIGHER_IS_BETTER else "max"
        if getattr(self, wanted) is None or (self.min is not None and self.max is not None):
            raise ValueError(f"{self.metric} is bounded by `{wanted}`")
        return self


class NotWorseRule(BaseModel):
    """Not worse than the version that the alias points at, by a paired bootstrap over the same rows.

    Without `margin` a version fails that is shown to be worse: all of the 95% interval of the difference lies on the
    worse side. With it a version fails unless all of the interval says that it is at most so much worse.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    rule: Literal["not_worse"]
    metric: MetricName | None = Field(None, description="Default: the primary metric, log_loss or rmse.")
    margin: float | None = Field(None, ge=0, description="How much worse it may be, in units of the metric.")


class LatencyRule(BaseModel):
    """The 95th percentile of the time to answer one row, measured on this machine when the gate is asked."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rule: Literal["latency"]
    max_p95_ms: float = Field(gt=0)


class SlicesRule(BaseModel):
    """No slice of the evaluation is worse than the same slice of the version that the alias points at, by more."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rule: Literal["slices"]
    metric: MetricName
    max_drop: float = Field(ge=0, description="In units of the metric.")


AnyRule = Annotated[MetricRule | NotWorseRule | LatencyRule | SlicesRule, Field(discriminator="rule")]
AliasPattern = Annotated[str, Field(pattern=rf"^{ALIAS}$")]
EXAMPLE_RULES: list[Any] = [
    {"rule": "metric", "metric": "accuracy", "min": 0.9},
    {"rule": "not_worse", "metric": "log_loss"},
    {"rule": "latency", "max_p95_ms": 5.0},
]


class GatesWrite(BaseModel):
    """Which aliases of a model are guarded, and what a version must show before one of them points at it."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"aliases": ["champion"], "rules": EXAMPLE_RULES}]},
    )

    aliases: list[AliasPattern] = Field(min_length=1, max_length=20)
    rules: list[AnyRule] = Field(min_length=1, max_length=20)


class GatesRead(GatesWrite):
    """The gates of a model."""

    model_config = ConfigDict(extra="ignore", strict=False, json_schema_extra={"examples": []})

    object: Literal["gates"] = "gates"
    model: str
    updated_at: datetime


class CheckCreate(BaseModel):
    """Which version to hold against the gates, as if this alias were to point at it."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"version": 4, "alias": "champion"}]}
    )

    version: VersionNumber
    alias: AliasPattern = Field(description="It is compared with what this alias points at.")


class OutcomeRead(BaseModel):
    """What one rule found."""

    rule: AnyRule
    passed: bool
    detail: str = Field(examples=["accuracy is 0.87 on 52 test rows, 0.03 below the minimum of 0.9."])
    figures: dict[str, Any] = Field(description="What the rule looked at, such as the interval of a difference.")


class CheckRead(BaseModel):
    """What the gates say of a version."""

    object: Literal["gate_check"] = "gate_check"
    model: str = Field(description="The version, such as penguins@4.")
    alias: str
    against: str | None = Field(description="The version that the alias points at.")
    guarded: bool = Field(description="Whether the gates guard this alias.")
    passed: bool
    rules: list[OutcomeRead]
