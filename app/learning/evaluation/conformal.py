"""Intervals and sets that hold the truth as often as they say: split conformal prediction.

Rows that were held out show how far answers are off; the k-th smallest of n such scores, k = ceil((n + 1) * coverage),
bounds the next one with at least that probability, whatever the model, as long as new rows are like the held-out ones.
Those are also the rows that stopped the training and set the temperature, so the guarantee is approximate; tests hold
it against real data. Deterministic: yes.
Source: Vovk et al., Algorithmic Learning in a Random World, 2005; for classes the least ambiguous sets of Sadinle, Lei
and Wasserman, JASA 114, 2019; for values absolute residuals, Lei et al., JASA 113, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from app.learning.errors import InputError
from app.learning.evaluation.answered import Answered
from app.learning.metrics import Floats

COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)
# The graph rounds to float32; a class that lies on the threshold belongs to the set.
ROUNDING = 1e-6


class Conformal(TypedDict):
    """The quantile of the scores for every coverage, by its text; None where the held-out rows are too few."""

    method: str
    num_rows: int
    quantiles: dict[str, float | None]


class Coverage(TypedDict):
    """How often intervals or sets held the truth, and how wide (or how many classes) they were on average."""

    coverage: float
    found: float
    mean_size: float


def fit_conformal(held_out: Answered) -> Conformal:
    """Return the quantiles for every stated coverage from answers to held-out rows."""
    scores_B = np.sort(_scores(held_out))
    return {
        "method": "least_ambiguous_set" if held_out.is_classification else "absolute_residual",
        "num_rows": len(scores_B),
        "quantiles": {str(coverage): quantile(scores_B, coverage) for coverage in COVERAGES},
    }


def quantile(sorted_B: Floats, coverage: float) -> float | None:
    """Return the score that bounds a new one with this probability, or None when that takes more rows."""
    place = math.ceil((len(sorted_B) + 1) * coverage - 1e-9)
    return float(sorted_B[place - 1]) if place <= len(sorted_B) else None


def covered(answered: Answered, conformal: Mapping[str, Any]) -> list[Coverage]:
    """Return the coverage that was found on rows that had no part in any of it."""
    scores_B = _scores(answered)
    found: list[Coverage] = []
    for text, bound in conformal["quantiles"].items():
        if bound is not None and len(scores_B):
            inside_B = scores_B <= bound + ROUNDING * answered.is_classification
            if answered.is_classification:
                inside_B |= answered.y_BK.argmax(axis=1) == answered.classes_B
            share = float(inside_B.mean())
            found.append({"coverage": float(text), "found": share, "mean_size": _mean_size(answered, bound)})
    return found


def add_sets(
    predictions: Sequence[Any], coverage: object, conformal: Mapping[str, Any] | None, output: Mapping[str, Any]
) -> None:
    """Add to each prediction its `interval` [low, high], or its `set` of labels, with the coverage asked for.

    Raises: InputError pointing at /interval when the coverage is none of those on offer.
    """
    bound = bound_of(coverage, conformal)
    if output["classes"]:
        for prediction in predictions:
            shares = prediction["probabilities"].values()
            chosen = [label for label, p in zip(output["classes"], shares, strict=True) if p >= 1 - bound - ROUNDING]
            # An empty set would be true of no row; the likeliest class costs no coverage.
            prediction["set"] = chosen or [prediction["label"]]
        return
    for prediction in predictions:
        low, high = prediction["value"] - bound, prediction["value"] + bound
        prediction["interval"] = [max(0.0, low), min(1.0, high)] if output["task"] == "soft" else [low, high]


def sets_of(y_BK: Floats, bound: float) -> NDArray[np.bool_]:
    """Return which classes K are in the set of each row B: as `add_sets` chooses them, for many rows at once."""
    chosen_BK: NDArray[np.bool_] = y_BK >= 1 - bound - ROUNDING
    chosen_BK[np.arange(len(y_BK)), y_BK.argmax(axis=1)] |= ~chosen_BK.any(axis=1)
    return chosen_BK


def intervals_of(values_B: Floats, bound: float, task: str) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of the intervals of values: as `add_sets` has them, for many rows at once."""
    low_B, high_B = values_B - bound, values_B + bound
    return (np.maximum(0.0, low_B), np.minimum(1.0, high_B)) if task == "soft" else (low_B, high_B)


def bound_of(coverage: object, conformal: Mapping[str, Any] | None) -> float:
    """Return the score that bounds a new one with this probability.

    Raises: InputError pointing at /interval when the coverage is none of those on offer.
    """
    offered = [text for text, bound in (conformal or {"quantiles": {}})["quantiles"].items() if bound is not None]
    if isinstance(coverage, float) and conformal is not None:
        if str(coverage) in offered:
            return float(conformal["quantiles"][str(coverage)])
        if coverage in COVERAGES:
            detail = f"this version was held against {conformal['num_rows']} rows, too few for a coverage of {coverage}"
            raise _refused(f"{detail}; there are: {', '.join(offered) or 'none'}")
    if conformal is None:
        raise _refused("this version was stored without intervals; train it again")
    raise _refused(f"expected one of {', '.join(map(str, COVERAGES))}")


def _refused(detail: str) -> InputError:
    return InputError([{"pointer": "/interval", "detail": detail}])


def _scores(answered: Answered) -> Floats:
    if answered.is_classification:
        scores_B: Floats = 1.0 - answered.y_BK[np.arange(len(answered)), answered.classes_B]
        return scores_B
    return np.abs(answered.errors_B)


def _mean_size(answered: Answered, bound: float) -> float:
    if not answered.is_classification:
        return 2 * bound
    sizes_B = (answered.y_BK >= 1 - bound - ROUNDING).sum(axis=1)
    return float(np.maximum(sizes_B, 1).mean())
