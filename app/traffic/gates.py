"""What rules say of a version, from what is known of it: each passes, or fails by a stated amount."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.learning.latency import Latency
from app.learning.metrics import HIGHER_IS_BETTER
from app.traffic.schemas import AnyRule, LatencyRule, MetricRule, NotWorseRule, SlicesRule


@dataclass(frozen=True)
class Facts:
    """What is known of a version; what could not be found out is None, and `reasons` says why by the name of a rule."""

    evaluation: dict[str, Any] | None
    against: str | None = None
    against_evaluation: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    latency: Latency | None = None
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What one rule found."""

    rule: AnyRule
    passed: bool
    detail: str
    figures: dict[str, Any]


Found = tuple[bool, str, dict[str, Any]]


def judge(rule: AnyRule, facts: Facts) -> Outcome:
    """One rule on what is known; a rule that cannot be checked fails."""
    return Outcome(rule, *JUDGES[rule.rule](rule, facts))


def _metric(rule: MetricRule, facts: Facts) -> Found:
    told = facts.evaluation
    if told is None or told["part"] != "test":
        return False, "No rows were set aside for testing: there is no metric that a gate may rest on.", {}
    value, num_rows = told["metrics"].get(rule.metric), told["num_rows"]
    if value is None:
        return False, f"The evaluation has no {rule.metric}.", {}
    bound, word = (rule.min, "minimum") if rule.min is not None else (rule.max or 0.0, "maximum")
    over = bound - value if rule.min is not None else value - bound
    figures = {"value": value, "bound": bound, "num_rows": num_rows, "interval": told["intervals"].get(rule.metric)}
    text = f"{rule.metric} is {value:.6g} on {num_rows} test rows"
    if over <= 0:
        return True, f"{text}; the {word} is {bound:.6g}.", figures
    side = "below" if rule.min is not None else "above"
    return False, f"{text}, {over:.6g} {side} the {word} of {bound:.6g}.", figures


def _not_worse(rule: NotWorseRule, facts: Facts) -> Found:
    if facts.against is None:
        return True, "The alias points at no other version: there is nothing to compare with.", {}
    told = facts.comparison
    if told is None:
        return False, facts.reasons.get(rule.rule, "There is no comparison."), {}
    metric = rule.metric or told["primary_metric"]
    found = told["comparison"]["differences"].get(metric)
    if found is None:
        return False, f"The comparison with {facts.against} has no {metric}.", {"job": told["job"]}
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    # How much worse: at least and at most, as far as 95% of the resamples go.
    least, most = sorted(sign * bound for bound in found["interval"])
    passed = least <= 0 if rule.margin is None else most <= rule.margin
    figures = {
        "metric": metric,
        "num_rows": told["num_rows"],
        "job": told["job"],
        "warnings": told["warnings"],
        **found,
    }
    text = (
        f"{metric} is {found['first']:.6g} against {found['second']:.6g} of {facts.against} on the same "
        f"{told['num_rows']} rows: worse by {sign * found['difference']:.6g}, 95% interval {least:.6g} to {most:.6g}"
    )
    if rule.margin is None:
        return passed, f"{text}, {'which holds 0' if least <= 0 <= most else 'all ' + _side(most)}.", figures
    return passed, f"{text}, which is {'within' if passed else 'not within'} the margin of {rule.margin:.6g}.", figures


def _side(most: float) -> str:
    return "better" if most < 0 else "worse"


def _latency(rule: LatencyRule, facts: Facts) -> Found:
    told = facts.latency
    if told is None:
        return False, facts.reasons.get(rule.rule, "The time was not measured."), {}
    figures = {"p50_ms": told.p50_ms, "p95_ms": told.p95_ms, "num_calls": told.num_calls, "bound": rule.max_p95_ms}
    over = told.p95_ms - rule.max_p95_ms
    text = f"The 95th percentile of {told.num_calls} answers to one row was {told.p95_ms:.3g} ms"
    if over <= 0:
        return True, f"{text}; the maximum is {rule.max_p95_ms:.3g} ms.", figures
    return False, f"{text}, {over:.3g} ms above the maximum of {rule.max_p95_ms:.3g} ms.", figures


def _slices(rule: SlicesRule, facts: Facts) -> Found:
    if facts.against is None:
        return True, "The alias points at no other version: there is nothing to compare with.", {}
    if facts.evaluation is None or facts.against_evaluation is None:
        return False, "One of the versions has no evaluation.", {}
    sign = 1.0 if rule.metric in HIGHER_IS_BETTER else -1.0
    before = _slice_metrics(facts.against_evaluation, rule.metric)
    drops = {
        name: sign * (before[name] - value)
        for name, value in _slice_metrics(facts.evaluation, rule.metric).items()
        if name in before
    }
    if not drops:
        return False, f"The evaluations have no slice in common that has {rule.metric}.", {"num_slices": 0}
    worst = max(drops, key=lambda name: drops[name])
    figures = {"num_slices": len(drops), "worst": " = ".join(worst), "drop": drops[worst], "bound": rule.max_drop}
    over = drops[worst] - rule.max_drop
    text = f"Of {len(drops)} slices {figures['worst']} dropped the most: {rule.metric} by {drops[worst]:.6g}"
    if over <= 0:
        return True, f"{text}; the maximum is {rule.max_drop:.6g}.", figures
    return False, f"{text}, {over:.6g} above the maximum of {rule.max_drop:.6g}.", figures


def _slice_metrics(evaluation: dict[str, Any], metric: str) -> dict[tuple[str, str], float]:
    return {
        (each["column"], each["label"]): each["metrics"][metric]
        for each in evaluation["slices"]
        if each["metrics"].get(metric) is not None
    }


JUDGES: dict[str, Callable[[Any, Facts], Found]] = {
    "metric": _metric,
    "not_worse": _not_worse,
    "latency": _latency,
    "slices": _slices,
}
