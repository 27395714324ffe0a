"""Curves and tables that show how answers are right and wrong, as data for charts of at most 200 points a series.

Each chart says its kind (`lines`, `bars`, `heat_map`) and carries its title and labels, so that it can be drawn without
knowing what it shows. Deterministic: yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.learning.evaluation.answered import Answered, softmax
from app.learning.metrics import SMALLEST, Floats, Groups, Integers, bin_numbers, certainty
from app.learning.runtime import class_key
from app.learning.tasks import Label

MOST_POINTS = 200
MOST_CLASSES = 20
MOST_CURVES = 6
NUM_BARS = 20
MAX_LABEL = 64

Chart = dict[str, Any]
Points = list[tuple[float, float]]


def charts_of(answered: Answered, *, temperature: float = 1.0) -> dict[str, Chart]:
    """Return the charts that fit the task, by name."""
    if answered.is_classification:
        return {
            "confusion": confusion(answered),
            "roc": _ranking(answered, roc_points, "ROC", "false positive rate", "true positive rate"),
            "pr": _ranking(answered, pr_points, "Precision and recall", "recall", "precision"),
            "calibration": calibration(answered, temperature),
            "confidence": confidence(answered),
        }
    return {"predicted": predicted(answered), "residuals": residuals(answered), "errors": errors(answered)}


def confusion(answered: Answered) -> Chart:
    """Return how often each true class (row) was answered as each class (column); beyond 20, the rest as one."""
    y_B, best_B = answered.classes_B, answered.y_BK.argmax(axis=1)
    names = [_name(label) for label in answered.head.classes]
    kept = np.arange(len(names))
    if len(names) > MOST_CLASSES:
        kept = np.argsort(-np.bincount(y_B, minlength=len(names)), kind="stable")[: MOST_CLASSES - 1]
    place_K = np.full(len(names), len(kept))
    place_K[kept] = np.arange(len(kept))
    labels = [names[k] for k in kept.tolist()] + (["other"] if len(kept) < len(names) else [])
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (place_K[y_B], place_K[best_B]), 1)
    return {
        "kind": "heat_map", "title": "Confusion", "x_label": "answered", "y_label": "true",
        "row_labels": labels, "column_labels": labels, "values": counts.tolist(),
    }  # fmt: skip


def _ranking(answered: Answered, points: Any, title: str, x_label: str, y_label: str) -> Chart:
    """One curve for the second of two classes, or for each of the most frequent of more, against the rest."""
    y_B, names = answered.classes_B, answered.head.classes
    counts = np.bincount(y_B, minlength=len(names))
    ranked = [1] if len(names) == 2 else np.argsort(-counts, kind="stable")[:MOST_CURVES].tolist()
    curves = [
        {"name": _name(names[k]), "style": "line", "points": points(answered.y_BK[:, k], y_B == k)}
        for k in ranked
        if 0 < counts[k] < len(y_B)
    ]
    return {"kind": "lines", "title": title, "x_label": x_label, "y_label": y_label, "series": curves}


def roc_points(score_B: Floats, positive_B: Any) -> Points:
    """Return false and true positive rates from the highest threshold down."""
    found, others = _found(score_B, positive_B)
    return _thinned([0.0, *(others / others[-1])], [0.0, *(found / found[-1])])


def pr_points(score_B: Floats, positive_B: Any) -> Points:
    """Return recall and precision from the highest threshold down."""
    found, others = _found(score_B, positive_B)
    return _thinned(found / found[-1], found / (found + others))


def _found(score_B: Floats, positive_B: Any) -> tuple[Floats, Floats]:
    groups, weight_B = Groups(-score_B), positive_B.astype(np.float64)
    found, others = (np.cumsum(groups.sums(each[None, :])[0]) for each in (weight_B, 1.0 - weight_B))
    return found, others


def calibration(answered: Answered, temperature: float) -> Chart:
    """Return how often what was said with some probability came true, beside what the raw outputs said."""
    of = f"probability of {_name(answered.head.classes[1])}" if len(answered.head.classes) == 2 else "confidence"
    series = [
        {"name": "perfect", "style": "dashed", "points": [(0.0, 0.0), (1.0, 1.0)]},
        {"name": "answered", "style": "line", "points": _reliability(answered.y_BK, answered.classes_B)},
    ]
    if temperature != 1.0:
        raw_BK = softmax(np.log(np.maximum(answered.y_BK, SMALLEST)) * temperature)
        series.append({"name": "uncalibrated", "style": "dashed", "points": _reliability(raw_BK, answered.classes_B)})
    return {"kind": "lines", "title": "Calibration", "x_label": of, "y_label": "frequency", "series": series}


def _reliability(p_BK: Floats, y_B: Integers) -> Points:
    certain_B, right_B = certainty(p_BK, y_B)
    bins = Groups(bin_numbers(certain_B))
    size, sums, hits = bins.sums(np.stack([np.ones(len(y_B)), certain_B, right_B]))
    return list(zip((sums / size).tolist(), (hits / size).tolist(), strict=True))


def confidence(answered: Answered) -> Chart:
    """Return how many rows were answered with which highest probability."""
    counts, edges = np.histogram(answered.y_BK.max(axis=1), bins=10, range=(0.0, 1.0))
    return _histogram("Confidence of the answers", counts, edges, "rows")


def predicted(answered: Answered) -> Chart:
    """Return predicted against true values, with the line on which they are equal."""
    true_B, value_B = answered.values_B.astype(np.float64), answered.values_predicted_B
    ends = [float(min(true_B.min(), value_B.min())), float(max(true_B.max(), value_B.max()))]
    series = [
        {"name": "equal", "style": "dashed", "points": list(zip(ends, ends, strict=True))},
        {"name": "rows", "style": "points", "points": _scattered(value_B, true_B)},
    ]
    return {
        "kind": "lines", "title": "Predicted and true", "x_label": "predicted", "y_label": "true", "series": series
    }  # fmt: skip


def residuals(answered: Answered) -> Chart:
    """Return what is left of the true value, by the predicted one."""
    points = _scattered(answered.values_predicted_B, answered.errors_B)
    return {
        "kind": "lines", "title": "Residuals", "x_label": "predicted", "y_label": "true minus predicted",
        "series": [{"name": "rows", "style": "points", "points": points}],
    }  # fmt: skip


def errors(answered: Answered) -> Chart:
    """Return how many rows were off by how much, the furthest percent on either side gathered at the ends."""
    low, high = np.quantile(answered.errors_B, (0.01, 0.99))
    if not low < high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(answered.errors_B, low, high), bins=NUM_BARS, range=(low, high))
    return _histogram("Errors (true minus predicted)", counts, edges, "rows")


def _histogram(title: str, counts: Any, edges: Floats, x_label: str) -> Chart:
    bars = [
        {"label": f"{low:.4g} to {high:.4g}", "value": count}
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    ]
    return {"kind": "bars", "title": title, "x_label": x_label, "bars": bars}


def coverage_chart(found: Sequence[Any]) -> Chart:
    """Return the coverage that was found for every coverage that was stated."""
    points = [(each["coverage"], each["found"]) for each in found]
    series = [
        {"name": "as stated", "style": "dashed", "points": [(0.5, 0.5), (1.0, 1.0)]},
        {"name": "found", "style": "line", "points": points},
    ]
    return {"kind": "lines", "title": "Coverage", "x_label": "stated coverage", "y_label": "found", "series": series}


def slices_chart(slices: Sequence[dict[str, Any]], metric: str) -> Chart:
    """Return the metric of the worst slices, the worst one at the top."""
    bars = [
        {"label": f"{each['column']}: {each['label']}", "value": each["metrics"][metric]}
        for each in slices[:NUM_BARS]
        if metric in each["metrics"]
    ]
    return {"kind": "bars", "title": "Worst slices", "x_label": metric, "bars": bars}


def _name(label: Label) -> str:
    return class_key(label)[:MAX_LABEL]


def _thinned(xs: Any, ys: Any) -> Points:
    chosen = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), MOST_POINTS)).round().astype(np.intp))
    return [(_short(xs[index]), _short(ys[index])) for index in chosen.tolist()]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _scattered(xs: Floats, ys: Floats) -> Points:
    """At most 200 rows, evenly along the first value, so that the ends are among them."""
    order = np.argsort(xs, kind="stable")
    return _thinned(xs[order], ys[order])
