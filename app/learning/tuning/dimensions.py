"""The three kinds of parameters that can be tuned: whole numbers, numbers, and choices.

Each can draw a value from a uniform number, and count its values where a grid is possible. Deterministic: yes.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from app.learning.policies import STRICT
from app.learning.spec import inconsistent

MAX_CHOICES = 100
MAX_VALUES = 10**9
LARGEST_INT = 2**53
LARGEST_FLOAT = 1e300


class IntRange(BaseModel):
    """Whole numbers from low to high, both included."""

    model_config = STRICT

    type: Literal["int"]
    low: int = Field(ge=-LARGEST_INT, le=LARGEST_INT, description="Smallest value.")
    high: int = Field(ge=-LARGEST_INT, le=LARGEST_INT, description="Largest value.")
    step: int = Field(1, ge=1, le=LARGEST_INT, description="Only low, low + step, ... are tried.")
    log: bool = Field(False, description="Small values as often as large ones: even on a logarithmic scale.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_range(self)
        return self

    @property
    def num_values(self) -> int:
        """Return how many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def probes(self) -> list[tuple[str, Any]]:
        """Return what a spec must accept, and where it stands: the ends, between which all others lie."""
        return [("low", self.low), ("high", self.value(self.num_values - 1))]

    def value(self, index: int) -> int:
        """Return a value by its place, counted from 0."""
        return self.low + index * self.step

    def draw(self, uniform: float) -> int:
        """Return the value that belongs to a number from [0, 1)."""
        if self.log:
            # Half a step beyond either end, so that the ends are as likely as they should be.
            drawn = _between(math.log(self.low - 0.5), math.log(self.high + 0.5), uniform)
            return min(max(round(math.exp(drawn)), self.low), self.high)
        return self.value(int(uniform * self.num_values))


class FloatRange(BaseModel):
    """Numbers from low to high."""

    model_config = STRICT

    type: Literal["float"]
    low: float = Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="Smallest value.")
    high: float = Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT, description="Largest value.")
    step: float | None = Field(None, gt=0, le=LARGEST_FLOAT, description="null: any between; a grid needs one.")
    log: bool = Field(False, description="Small values as often as large ones: even on a logarithmic scale.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_range(self)
        if self.num_values is not None and self.num_values > MAX_VALUES:
            raise inconsistent("step", f"the step makes more than {MAX_VALUES:,} values")
        return self

    @property
    def num_values(self) -> int | None:
        """Return how many values there are; None without a step."""
        if self.step is None:
            return None
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step)) + 1

    @property
    def probes(self) -> list[tuple[str, Any]]:
        """Return what a spec must accept, and where it stands: the ends, between which all others lie."""
        return [("low", self.low), ("high", self.high if self.num_values is None else self.value(self.num_values - 1))]

    def value(self, index: int) -> float:
        """Return a value by its place, counted from 0; in decimals, so that 0.1 + 2 * 0.1 is 0.3."""
        return float(_decimal(self.low) + index * _decimal(self.step or 0.0))

    def draw(self, uniform: float) -> float:
        """Return the value that belongs to a number from [0, 1)."""
        if self.num_values is not None:
            return self.value(int(uniform * self.num_values))
        if self.log:
            drawn = math.exp(_between(math.log(self.low), math.log(self.high), uniform))
        else:
            drawn = _between(self.low, self.high, uniform)
        return min(max(drawn, self.low), self.high)


class Choices(BaseModel):
    """Values without an order, of any kind: words, lists of widths, objects, null."""

    model_config = STRICT

    type: Literal["categorical"]
    choices: list[Any] = Field(
        min_length=1, max_length=MAX_CHOICES, description="The values, any JSON; no two are equal."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({_text(choice) for choice in self.choices}) < len(self.choices):
            raise inconsistent("choices", "two choices are equal")
        return self

    @property
    def num_values(self) -> int:
        """Return how many values there are."""
        return len(self.choices)

    @property
    def probes(self) -> list[tuple[str, Any]]:
        """Return what a spec must accept, and where it stands: each choice."""
        return [(f"choices/{index}", choice) for index, choice in enumerate(self.choices)]

    def value(self, index: int) -> Any:
        """Return a choice by its place, counted from 0."""
        return self.choices[index]

    def place(self, value: Any) -> int:
        """Return where a choice stands; to Python 1 is True, to JSON it is not."""
        return [_text(choice) for choice in self.choices].index(_text(value))

    def draw(self, uniform: float) -> Any:
        """Return the choice that belongs to a number from [0, 1)."""
        return self.choices[int(uniform * len(self.choices))]


Dimension = IntRange | FloatRange | Choices
DIMENSIONS: dict[str, type[Dimension]] = {"int": IntRange, "float": FloatRange, "categorical": Choices}


def _check_range(dimension: IntRange | FloatRange) -> None:
    if dimension.high < dimension.low:
        raise inconsistent("high", "high must not be below low")
    if dimension.log and dimension.low <= 0:
        raise inconsistent("low", "a logarithmic scale begins above 0")
    if dimension.log and dimension.step not in (1, None):
        raise inconsistent("step", "a logarithmic scale has no steps")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _between(low: float, high: float, uniform: float) -> float:
    return low + (high - low) * uniform


def _decimal(number: float) -> Decimal:
    return Decimal(repr(float(number)))
