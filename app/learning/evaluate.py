"""Measure what a training left behind, beside a constant answer and a linear model of the same rows. Imports torch.

Deterministic: yes. Classification is measured on probabilities, regression in the target's own units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from app.learning import metrics
from app.learning.evaluation.answered import Answered, answers_of
from app.learning.evaluation.bootstrap import compare, intervals
from app.learning.evaluation.calibration import Calibration, calibrate
from app.learning.evaluation.conformal import Conformal, fit_conformal
from app.learning.evaluation.document import FORMAT, Columns, Served, describe_answers, encode
from app.learning.evaluation.linear import Linear
from app.learning.export import Answer
from app.learning.learned import Learned, outputs
from app.learning.metrics import QUANTILES, Floats, Metrics
from app.learning.prepared import Prepared, Rows, evenly
from app.learning.spec import CLASSIFICATION

# Of fewer errors than this the outer quantiles are no more than their extremes.
LEAST_ERRORS = 10

Answering = Callable[[Rows], Floats]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model as it will be served, and how good it is; `document` is the evaluation as JSON."""

    answer: Answer
    metrics: dict[str, Any]
    calibration: Calibration | None
    conformal: Conformal
    document: bytes


def evaluate(learned: Learned, prepared: Prepared, linear: Linear | None) -> Evaluated:
    """Calibrate what was learned and measure it on every part; an empty part has no metrics."""
    head, seed = prepared.head, prepared.plan.seed
    calibration = _calibration(learned, prepared)
    temperature = calibration["temperature"] if calibration else 1.0
    answer = Answer(learned.network, head.task, temperature)
    held_out_BK = answers_of(learned.held_out_BK, head.task, temperature)
    held_out = Answered(head, held_out_BK, learned.held_out.learned_B, learned.held_out.values_B)
    models = {"model": _Model(answering(answer), prepared, held_out)}
    others = {"constant": _constant(prepared)} | ({"linear": answering(linear.answer)} if linear else {})
    for name, each in others.items():
        models[name] = _Model(each, prepared, _answered(each(learned.held_out), learned.held_out, prepared))
    found: dict[str, Any] = models["model"].by_part()
    found["baseline"] = models["constant"].by_part()
    if linear:
        found["linear"] = models["linear"].by_part()
    found["intervals"] = {
        part: intervals(models["model"].scores(part), seed=seed) if part in models["model"].answered else {}
        for part in ("validation", "test")
    }
    conformal = fit_conformal(held_out)
    served = Served(temperature, conformal, models["model"].offsets)
    document = _document(models, prepared, served) | {"linear_training": _training_of(linear)}
    return Evaluated(answer, found, calibration, conformal, encode(document))


def serve(evaluated: Evaluated, learned: Learned, prepared: Prepared) -> Evaluated:
    """Return what was measured, with another network to serve: one that learned all rows, calibrated by its own."""
    calibration = _calibration(learned, prepared)
    temperature = calibration["temperature"] if calibration else 1.0
    held_out_BK = answers_of(learned.held_out_BK, prepared.head.task, temperature)
    conformal = fit_conformal(_answered(held_out_BK, learned.held_out, prepared))
    answer = Answer(learned.network, prepared.head.task, temperature)
    return replace(evaluated, answer=answer, calibration=calibration, conformal=conformal)


def answering(answer: Answer) -> Answering:
    """Return the answers of a network as a function of rows."""
    return lambda rows: outputs(answer, torch.from_numpy(rows.x_BF))


class _Model:
    """One of the models that are measured, with its answers to every part; rows held out are the validation part."""

    def __init__(self, answer: Answering, prepared: Prepared, held_out: Answered) -> None:
        self.offsets = _offsets(held_out)
        train, test = prepared.rows["train"], prepared.rows["test"]
        thinned = train.take(evenly(len(train)))
        parts = (("train", thinned), ("test", test))
        self.answered = {part: _answered(answer(rows), rows, prepared) for part, rows in parts if len(rows)}
        if len(held_out):
            self.answered["validation"] = held_out

    def scores(self, part: str) -> metrics.Scores:
        return self.answered[part].scores(self.offsets)

    def by_part(self) -> dict[str, Metrics]:
        parts = ("train", "validation", "test")
        return {part: metrics.measured(self.scores(part)) if part in self.answered else {} for part in parts}


def _calibration(learned: Learned, prepared: Prepared) -> Calibration | None:
    if not prepared.plan.params.calibrate or prepared.plan.task not in CLASSIFICATION:
        return None
    return calibrate(learned.held_out_BK, learned.held_out.learned_B.astype(np.int64), prepared.plan.task)


def _document(models: Mapping[str, _Model], prepared: Prepared, served: Served) -> dict[str, Any]:
    sample, seed = prepared.measured, prepared.plan.seed
    types = {item.name: item.stored for item in prepared.plan.treatments}
    columns = Columns(sample.inputs.columns, types)
    answered = models["model"].answered[sample.part]
    about = {"format": FORMAT, "part": sample.part, "task": prepared.plan.task, "target": prepared.plan.target["name"]}
    described = describe_answers(answered, columns, served, seed=seed, is_new=sample.part == "test")
    mine, linear = models["model"].scores(sample.part), models.get("linear")
    against = compare(mine, linear.scores(sample.part), seed=seed) if linear else {}
    return about | described | {"against_linear": against}


def _training_of(linear: Linear | None) -> dict[str, Any] | None:
    if linear is None:
        return None
    return {"num_rows": linear.num_rows, "num_rounds": linear.num_rounds, "converged": linear.converged}


def _answered(y_BK: Floats, rows: Rows, prepared: Prepared) -> Answered:
    return Answered(prepared.head, y_BK, rows.learned_B, rows.values_B)


def _offsets(held_out: Answered) -> Floats | None:
    """The quantiles of errors on held-out rows, by which an answer becomes a forecast of quantiles."""
    if held_out.is_classification or len(held_out) < LEAST_ERRORS:
        return None
    offsets: Floats = np.quantile(held_out.errors_B, QUANTILES)
    return offsets


def _constant(prepared: Prepared) -> Answering:
    head, train = prepared.head, prepared.rows["train"]
    if head.task in CLASSIFICATION:
        classes_B = train.learned_B.astype(np.int64)
        return lambda rows: metrics.constant_probabilities(classes_B, len(head.classes), len(rows))
    return lambda rows: metrics.constant_values(train.learned_B, len(rows))[:, None]
