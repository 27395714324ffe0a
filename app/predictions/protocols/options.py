"""What a client may ask of predictions beyond the rows: intervals, which classes, how many, where to draw the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.learning.errors import InputError, json_pointer, shown
from app.learning.runtime import Prediction, Predictor, class_key

OF_CLASSES = ("threshold", "classes", "top_k", "probabilities")
NAMES = frozenset({"interval", *OF_CLASSES})


def apply(predictions: Sequence[Prediction], options: Mapping[str, Any], predictor: Predictor) -> None:
    """Change predictions as the options among these members ask. Raises: InputError pointing at an option."""
    if "interval" in options:
        predictor.add_sets(predictions, options["interval"])
    for name in OF_CLASSES:
        if name in options:
            if not predictor.classes:
                raise _refused(name, "this model answers values, not classes")
            APPLY[name](predictions, options[name], predictor)


def _threshold(predictions: Sequence[Any], threshold: Any, predictor: Predictor) -> None:
    """Of two classes the second is the label from this probability on."""
    if len(predictor.classes) != 2:
        raise _refused("threshold", f"this model tells {len(predictor.classes)} classes apart, not two")
    if type(threshold) not in (int, float) or not 0 <= threshold <= 1:
        raise _refused("threshold", f"expected a number between 0 and 1, got {shown(threshold)}")
    key = class_key(predictor.classes[1])
    for prediction in predictions:
        prediction["label"] = predictor.classes[prediction["probabilities"][key] >= threshold]


def _classes(predictions: Sequence[Any], classes: Any, predictor: Predictor) -> None:
    """Keep the probabilities of some classes, in the order asked for."""
    if not isinstance(classes, list) or not classes:
        raise _refused("classes", "expected an array of classes")
    known = {class_key(label) for label in predictor.classes}
    keys = []
    for place, label in enumerate(classes):
        key = class_key(label) if isinstance(label, str | int) else ""
        if key not in known or key in keys:
            fault = "is named twice" if key in keys else "is no class of this model"
            raise InputError([{"pointer": json_pointer("classes", place), "detail": f"{shown(label)} {fault}"}])
        keys.append(key)
    for prediction in predictions:
        prediction["probabilities"] = {key: prediction["probabilities"][key] for key in keys}


def _top_k(predictions: Sequence[Any], top_k: Any, predictor: Predictor) -> None:
    """Keep the likeliest classes, the likeliest first."""
    if type(top_k) is not int or top_k < 1:
        raise _refused("top_k", f"expected a positive integer, got {shown(top_k)}")
    for prediction in predictions:
        ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        prediction["probabilities"] = dict(ranked[:top_k])


def _probabilities(predictions: Sequence[Any], wanted: Any, predictor: Predictor) -> None:
    """Leave the probabilities out."""
    if not isinstance(wanted, bool):
        raise _refused("probabilities", f"expected true or false, got {shown(wanted)}")
    if not wanted:
        for prediction in predictions:
            del prediction["probabilities"]


APPLY = {"threshold": _threshold, "classes": _classes, "top_k": _top_k, "probabilities": _probabilities}


def _refused(name: str, detail: str) -> InputError:
    return InputError([{"pointer": json_pointer(name), "detail": detail}])
