"""Settings to try after a failure; imports no torch. Deterministic: yes."""

from __future__ import annotations

from typing import Any

from app.learning.training_params import TrainingParams

FRACTION = 0.1


def smaller_rate(params: TrainingParams) -> float:
    """Return the learning rate to try after a divergence.

    That is the default of the spec and optimizer where the rate was above it, else a tenth (ours: a divergence at
    the default means steep data, and a factor of ten is what people try next).
    """
    usual = type(params)(optimizer=params.optimizer).learning_rate
    if params.learning_rate > usual:
        return usual
    return max(1e-10, float(f"{params.learning_rate * FRACTION:.3g}"))


def after_divergence(params: TrainingParams) -> tuple[dict[str, Any], str]:
    """Return the members of a request to change, and the sentence that says so."""
    rate = smaller_rate(params)
    clipped = params.gradient_clip is not None or params.optimizer == "gd"
    clip = "" if clipped else ", or set gradient_clip to 1"
    return {"params": {"learning_rate": rate}}, f"Start a new job with learning_rate {rate:g}{clip}."
