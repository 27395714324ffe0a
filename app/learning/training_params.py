"""The parameters of optimisation that every spec of a network shares; imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic.types import JsonValue
from pydantic_core import PydanticCustomError

from app.learning.policies import STRICT

# Marks the parameters that a form shows first; all others are "advanced".
BASIC: dict[str, JsonValue] = {"level": "basic"}
BatchSize = Annotated[int, Field(ge=1, le=10_000_000)]

# What "not given" means depends on the optimizer. Plain gradient descent is exactly W <- W - learning_rate * gradient
# on all training rows, so everything that would make it something else is off; `TrainingParams` refuses to turn it on.
PLAIN: dict[str, Any] = {
    "batch_size": None,
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "schedule": "constant",
    "regularization_schedule": "constant",
    "warmup_epochs": 0.0,
    "gradient_clip": None,
    "ema_decay": None,
}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}
OPTIMIZER_DEFAULTS: dict[str, dict[str, Any]] = {
    "gd": PLAIN | {"learning_rate": 0.1, "early_stopping": None, "calibrate": False} | NO_DROPOUT,
    "sgd": {"learning_rate": 0.02, "weight_decay": 0.0},
    "rmsprop": {"learning_rate": 0.001, "momentum": 0.0, "weight_decay": 0.0, "beta2": 0.99},
    "adam": {"momentum": 0.0, "weight_decay": 0.0},
    "adamw": {"momentum": 0.0},
    "muon": {"momentum": 0.95, "nesterov": True},
    "schedule_free": {"momentum": 0.0, "schedule": "constant"},
}
ADAPTIVE = frozenset({"adam", "adamw", "muon", "schedule_free"})
# Where a parameter does something; elsewhere it must be left as it is.
APPLIES: dict[str, frozenset[str]] = {
    "momentum": frozenset({"sgd", "rmsprop", "muon"}),
    "nesterov": frozenset({"sgd", "muon"}),
    "beta1": ADAPTIVE,
    "beta2": ADAPTIVE | {"rmsprop"},
    "epsilon": ADAPTIVE | {"rmsprop"},
}
# These schedules begin with small rates by themselves.
RISING = ("one_cycle", "coslog4")


class Params(BaseModel):
    """What every spec's parameters are, strict and frozen, and have."""

    model_config = STRICT

    calibrate: bool = Field(
        True, description="Divide raw outputs of classes by a temperature found on held-out rows; weights stay."
    )


class EarlyStopping(BaseModel):
    """Stop when the validation loss has not improved for a while; the best epoch's weights are kept."""

    model_config = STRICT

    patience: int = Field(40, ge=1, le=100_000, description="Epochs without improvement before stopping.")
    min_delta: float = Field(0.0, ge=0.0, le=1e6, description="An improvement smaller than this does not count.")


class TrainingParams(Params):
    """Optimisation parameters; a spec's own parameters are a subclass.

    Source: gradient descent, Cauchy 1847; momentum, Polyak 1964, and Nesterov 1983 in the form of Sutskever
    et al. 2013; RMSprop, Tieleman and Hinton 2012; Adam, Kingma and Ba, arXiv 1412.6980; AdamW and cosine,
    Loshchilov and Hutter, arXiv 1711.05101 and 1608.03983; one cycle, Smith, arXiv 1803.09820; Muon, Jordan et
    al. 2024, with steps as long as in Liu et al., arXiv 2502.16982; schedule-free AdamW, Defazio et al., arXiv
    2405.15682; coslog4 and flat_cosine, Holzmüller et al., arXiv 2407.04491.
    """

    epochs: int = Field(100, ge=1, le=100_000, description="Passes over the training rows.", json_schema_extra=BASIC)
    learning_rate: float = Field(
        0.002, ge=1e-10, le=1e4, description="Step size at the top of the schedule.", json_schema_extra=BASIC
    )
    batch_size: BatchSize | Literal["auto"] | None = Field(
        "auto",
        description="At most so many rows a step, evenly divided; null: all rows; auto: 32 to 1024 by their number.",
        json_schema_extra=BASIC,
    )
    accumulate: int = Field(
        1, ge=1, le=10_000, description="Batches whose gradients make one step: as large batches, in less memory."
    )
    optimizer: Literal["gd", "sgd", "rmsprop", "adam", "adamw", "muon", "schedule_free"] = Field(
        "adamw",
        description="gd is plain gradient descent on the whole training part: W <- W - learning_rate * dJ/dW; "
        "muon: orthogonal steps of hidden matrices, adamw for the rest; schedule_free: adamw that averages its steps.",
        json_schema_extra=BASIC,
    )
    early_stopping: EarlyStopping | None = Field(
        default_factory=EarlyStopping,
        description="null trains all epochs and keeps the last weights.",
        json_schema_extra=BASIC,
    )
    loss: Literal["auto", "cross_entropy", "mse", "mae", "huber"] = Field(
        "auto", description="auto: cross_entropy for classes and soft targets, mse for regression."
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced gives every class the same total weight."
    )
    label_smoothing: float = Field(0.0, ge=0.0, le=0.5, description="Share of certainty taken from each label.")
    momentum: float = Field(0.9, ge=0.0, le=0.999, description="Of sgd, rmsprop (0 unless given) and muon.")
    nesterov: bool = Field(False, description="Look ahead along the momentum of sgd or muon.")
    beta1: float = Field(
        0.9, ge=0.0, le=0.9999, description="How slowly adam, adamw, muon and schedule_free forget gradients."
    )
    beta2: float = Field(
        0.999, ge=0.0, le=0.999999, description="How slowly they, and rmsprop, forget the squares of gradients."
    )
    epsilon: float = Field(1e-8, ge=1e-16, le=1.0, description="Added to the root of the mean square they divide by.")
    weight_decay: float = Field(
        0.01, ge=0.0, le=100.0, description="gd, sgd, rmsprop, adam: L2, 0 unless given; others: decoupled."
    )
    regularization_schedule: Literal["constant", "flat_cosine"] = Field(
        "constant", description="flat_cosine: weight decay and dropout fall to 0 in the second half of the training."
    )
    schedule: Literal["constant", "step", "cosine", "one_cycle", "coslog4", "plateau"] = Field(
        "cosine", description="How the learning rate changes over the training; coslog4: four ever longer waves."
    )
    warmup_epochs: float = Field(1.0, ge=0.0, le=10_000.0, description="Rise linearly from 0 over these epochs.")
    decay_epochs: int = Field(
        10, ge=1, le=100_000, description="step: epochs between drops; plateau: epochs without improvement."
    )
    decay_factor: float = Field(0.5, ge=1e-6, le=1.0, description="step and plateau multiply the rate by this.")
    gradient_clip: float | None = Field(None, ge=1e-6, le=1e6, description="Largest norm of the whole gradient.")
    ema_decay: float | None = Field(
        None, ge=0.0, le=0.999999, description="Measure and keep an average of the weights that forgets this slowly."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one.")
    precision: Literal["auto", "float32", "float64", "bf16"] = Field(
        "auto", description="auto: float32, and on a GPU bf16, which computes matrices so and keeps float32 weights."
    )
    threads: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        "auto", description="CPU threads; auto: 1, or for long trainings as many as its first steps gain from."
    )
    compile: bool = Field(
        False, description="Compile the network first: takes seconds to a minute, needs a C++ compiler, then is faster."
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_optimizer(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        defaults = defaults_of_optimizer(data.get("optimizer", cls.model_fields["optimizer"].default))
        if data.get("schedule") in RISING:
            defaults = defaults | {"warmup_epochs": 0.0}
        return {name: value for name, value in defaults.items() if name in cls.model_fields} | data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.optimizer == "gd":
            for name, value in PLAIN.items():
                if getattr(self, name) != value:
                    shown = "null" if value is None else str(value).lower()
                    raise inconsistent(name, f"gd is plain gradient descent: {name} must be {shown} or left out")
        for name, optimizers in APPLIES.items():
            idle = 0.0 if name == "momentum" else type(self).model_fields[name].default
            if self.optimizer not in optimizers and getattr(self, name) != idle:
                raise inconsistent(name, f"{name} does not apply to optimizer {self.optimizer}")
        if self.nesterov and not self.momentum:
            raise inconsistent("nesterov", "nesterov needs momentum")
        if self.optimizer == "schedule_free":
            self._averages_by_itself()
        if self.schedule in RISING and self.warmup_epochs:
            raise inconsistent("warmup_epochs", f"{self.schedule} brings its own warm-up: leave warmup_epochs out")
        if self.compile and self.regularization_schedule != "constant":
            raise inconsistent("compile", "compile needs a constant regularization_schedule")
        return self

    def _averages_by_itself(self) -> None:
        if self.schedule != "constant":
            raise inconsistent("schedule", "schedule_free needs no schedule: leave it out")
        if self.ema_decay is not None:
            raise inconsistent("ema_decay", "schedule_free keeps an average of its own: leave ema_decay out")


def defaults_of_optimizer(name: object) -> dict[str, Any]:
    """Return what "not given" means with this optimizer; nothing for what is no optimizer."""
    return OPTIMIZER_DEFAULTS.get(name, {}) if isinstance(name, str) else {}


def inconsistent(field: str, message: str) -> PydanticCustomError:
    """Return the error that a validator raises to blame one parameter among several."""
    return PydanticCustomError("inconsistent", "{message}", {"message": message, "field": field})
