"""What one column learned from the training rows, and how it turns values into inputs.

Shapes: values (B,), inputs (B, num_inputs). Deterministic: the seed is not used.
Source of the quantile scaling: normal scores, van der Waerden, Indagationes Mathematicae 14, 1952; the rest
is textbook standardisation and one-hot coding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.data import Values, is_missing
from app.learning.errors import LearningError, json_pointer, shown
from app.learning.layout import Block
from app.learning.policies import CategoryPolicy, NumericPolicy, Treatment

MAX_QUANTILES = 1000
UNKNOWN = -1
FEWEST_LEVELS, MIN_REPETITION = 3, 4
# Up to here a loop is faster than the fixed cost of array indexing.
FEW_ROWS = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that is no input, and why."""

    name: str
    stored: str
    reason: str


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """A number x becomes (x - center) / scale, or its normal score where quantiles are given."""

    name: str
    stored: str
    type: str
    missing: str
    fill: float | None
    indicator: bool
    scaling: str
    center: float
    scale: float
    minimum: float
    maximum: float
    out_of_range: str
    wrong_type: str
    quantiles: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A name becomes its slot: categories in order, then 'missing', then 'other' where training had them."""

    name: str
    stored: str
    type: str
    missing: str
    fill: str | None
    encoding: str
    categories: tuple[str, ...]
    has_missing: bool
    has_other: bool
    unseen: str
    wrong_type: str

    @property
    def num_slots(self) -> int:
        """How many different things this column can say."""
        return len(self.categories) + self.has_missing + self.has_other

    @property
    def block(self) -> Block:
        """The inputs of the network it fills."""
        return Block(self.encoding, self.num_slots)

    def slots(self) -> dict[str | None, int]:
        """Return the slot of every name that has one; None is a missing value."""
        known: dict[str | None, int] = {name: slot for slot, name in enumerate(self.categories)}
        if self.has_missing:
            known[None] = len(self.categories)
        elif self.fill in known:
            known[None] = known[self.fill]
        return known


FittedColumn = NumericColumn | CategoryColumn | LeftOut


def fit_column(values: Values, treatment: Treatment) -> FittedColumn:
    """Learn one column from its training values (n,), already read as `treatment.type`.

    Raises: LearningError when its numbers are too large to be scaled.
    """
    policy = treatment.policy
    if policy is None:
        return LeftOut(treatment.name, treatment.stored, treatment.reason or "not used")
    if isinstance(policy, NumericPolicy):
        return _fit_numeric(values, treatment, policy)
    return _fit_category(values.tolist(), treatment, policy)


def _fit_numeric(values: Floats, treatment: Treatment, policy: NumericPolicy) -> FittedColumn:
    missing = is_missing(values)
    present = values[~missing]
    if not len(present):
        return LeftOut(treatment.name, treatment.stored, "no training row has a value")
    indicator = policy.missing_indicator == "always" or (policy.missing_indicator == "auto" and bool(missing.any()))
    if present.min() == present.max() and not (indicator and missing.any()):
        return LeftOut(treatment.name, treatment.stored, "all training rows have the same value")
    fill = _fill_number(present, policy)
    filled = present if fill is None else np.where(missing, fill, values)
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = SCALINGS[policy.scaling](filled)
    if not (math.isfinite(center) and math.isfinite(scale) and math.isfinite(fill or 0.0)):
        raise LearningError(
            f"Column {shown(treatment.name)}: its values are too large to be scaled.",
            pointer=json_pointer("preparation", "columns", treatment.name),
        )
    quantiles, scores = _normal_scores(filled) if policy.scaling == "quantile" else ((), ())
    return NumericColumn(
        treatment.name, treatment.stored, treatment.type, policy.missing, fill, indicator, policy.scaling,
        center, scale or 1.0, float(present.min()), float(present.max()),
        policy.out_of_range, policy.wrong_type, quantiles, scores, _repeated(present, policy.levels),
    )  # fmt: skip


def _repeated(present: Floats, most: int) -> tuple[float, ...]:
    """The values of a column that is a scale of a few steps, ascending; none where values hardly repeat."""
    if not most:
        return ()
    levels = np.unique(present)
    is_scale = FEWEST_LEVELS <= len(levels) <= min(most, len(present) / MIN_REPETITION)
    return tuple(levels.tolist()) if is_scale else ()


def _fill_number(present: Floats, policy: NumericPolicy) -> float | None:
    if policy.missing == "mean":
        with np.errstate(over="ignore"):
            return float(present.mean())
    if policy.missing == "median":
        return float(np.median(present))
    if policy.missing == "most_frequent":
        distinct, counts = np.unique(present, return_counts=True)
        return float(distinct[counts.argmax()])
    return policy.fill_value if policy.missing == "constant" else None


def _standard(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def _min_max(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max() - values.min())


def _robust(values: Floats) -> tuple[float, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    # Half of the rows may share one value; then the standard deviation is the honest spread.
    return float(middle), float(high - low) or float(values.std())


def _unscaled(values: Floats) -> tuple[float, float]:
    return 0.0, 1.0


SCALINGS = {
    "standard": _standard,
    "min_max": _min_max,
    "robust": _robust,
    "quantile": _unscaled,
    "none": _unscaled,
}


def _normal_scores(values: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = min(len(values), MAX_QUANTILES)
    shares = (np.arange(count) + 0.5) / count
    normal = np.array([NormalDist().inv_cdf(share) for share in shares])
    knots, knot = np.unique(np.quantile(values, shares), return_inverse=True)
    scores = np.bincount(knot, weights=normal) / np.bincount(knot)
    return tuple(knots.tolist()), tuple(scores.tolist())


def _fit_category(names: list[str | None], treatment: Treatment, policy: CategoryPolicy) -> FittedColumn:
    counts = Counter(name for name in names if name is not None)
    num_missing = len(names) - counts.total()
    if not counts:
        return LeftOut(treatment.name, treatment.stored, "no training row has a value")
    fill = policy.fill_value if policy.missing == "constant" else None
    if policy.missing == "most_frequent":
        fill = _ranked(counts)[0]
    if fill is not None and num_missing:
        counts[fill] += num_missing
    has_missing = policy.missing == "category" and num_missing > 0
    if len(counts) + has_missing < 2:
        return LeftOut(treatment.name, treatment.stored, "all training rows have the same value")
    kept = _ranked(counts)[: policy.max_categories]
    return CategoryColumn(
        treatment.name, treatment.stored, treatment.type, policy.missing, fill, policy.encoding,
        tuple(sorted(kept)), has_missing, len(kept) < len(counts), policy.unseen, policy.wrong_type,
    )  # fmt: skip


def _ranked(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))


def encode(slots_B: NDArray[np.intp], column: CategoryColumn, out_BF: NDArray[np.float32]) -> None:
    """Write slots into `out_BF`, which is zero: one-hot, slot + 1, or that as a share; unknown stays zero."""
    if column.encoding == "index":
        out_BF[:, 0] = slots_B + 1
    elif column.encoding == "ordinal":
        out_BF[:, 0] = (slots_B + 1) / column.num_slots
    elif len(slots_B) <= FEW_ROWS:
        for row, slot in enumerate(slots_B.tolist()):
            if slot != UNKNOWN:
                out_BF[row, slot] = 1.0
    else:
        (known,) = (slots_B != UNKNOWN).nonzero()
        out_BF[known, slots_B[known]] = 1.0


def column_to_json(column: FittedColumn) -> dict[str, Any]:
    """Return the column as a JSON object that `column_from_json` reads back exactly."""
    kind = next(name for name, type_ in KINDS.items() if isinstance(column, type_))
    fields = {name: getattr(column, name) for name in column.__slots__}
    return {"kind": kind} | {name: _plain(value) for name, value in fields.items()}


def column_from_json(state: dict[str, Any]) -> FittedColumn:
    """Return the column of `column_to_json`."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in state.items()}
    kind = KINDS[str(fields.pop("kind"))]
    column: FittedColumn = kind(**fields)
    return column


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


KINDS: dict[str, Any] = {"numeric": NumericColumn, "category": CategoryColumn, "left_out": LeftOut}
