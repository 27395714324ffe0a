"""Which parameters of a search mattered: how differently its best quarter is spread over the values of each.

It is the rule of Optuna's evaluator in plain NumPy: Optuna's would load 160 MB of libraries, where they are installed,
into the process that answers predictions. Tests hold it against Optuna's.

Source: PED-ANOVA, Watanabe et al., IJCAI 2023 (arXiv 2304.10255), in the form and with the constants of Optuna 5.
Deterministic: yes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.learning.tuning.dimensions import Choices, Dimension, FloatRange, IntRange
from app.learning.tuning.space import Space

# A quarter of so many are five trials, below which its authors call the measure unstable.
MIN_TRIALS = 20
BEST_SHARE = 0.25
NUM_CELLS = 50
# So narrow a kernel has 90% of its mass within one cell.
MIN_SIGMA = 0.5 / 1.64
SMALLEST_DENSITY = 1e-12

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def importances(space: Space, tried: Sequence[dict[str, Any]], losses: Sequence[float]) -> dict[str, float] | None:
    """Return the share of each parameter in what made trials good, the largest first; they sum to 1.

    `tried`, `losses`: the parameters and the losses, smaller is better, of the completed trials.
    None where there are fewer than MIN_TRIALS of them, or none was better than the others.
    """
    if len(tried) < MIN_TRIALS:
        return None
    loss_T = np.asarray(losses)
    is_best_T = loss_T <= np.sort(loss_T)[math.ceil(BEST_SHARE * len(loss_T)) - 1]
    found = {
        name: _divergence(dimension, [params[name] for params in tried], is_best_T) for name, dimension in space.items()
    }
    total = sum(found.values())
    if total == 0.0:
        return None
    return {name: found[name] / total for name in sorted(found, key=lambda name: -found[name])}


def _divergence(dimension: Dimension, values: Sequence[Any], is_best_T: NDArray[np.bool_]) -> float:
    """Pearson's divergence of where the best trials lie from where all of them lie; 0 of a single value."""
    if dimension.num_values == 1 or (isinstance(dimension, FloatRange) and dimension.low == dimension.high):
        return 0.0
    cells_T, num_cells = _cells(dimension, values)
    smooth = _density_of_choices if isinstance(dimension, Choices) else _density_of_numbers
    best_C = smooth(np.bincount(cells_T[is_best_T], minlength=num_cells)) + SMALLEST_DENSITY
    all_C = smooth(np.bincount(cells_T, minlength=num_cells)) + SMALLEST_DENSITY
    return float(all_C @ (best_C / all_C - 1.0) ** 2)


def _cells(dimension: Dimension, values: Sequence[Any]) -> tuple[Counts, int]:
    """In which of how many cells, even on the scale of the dimension, each value lies."""
    if isinstance(dimension, Choices):
        return np.array([dimension.place(value) for value in values]), dimension.num_values
    (_, low), (_, high) = dimension.probes
    num_cells = min(_num_steps(dimension, low, high), NUM_CELLS)
    scale = np.log if dimension.log else np.asarray
    low, high, value_T = (scale(np.asarray(each, np.float64)) for each in (low, high, values))
    cells_T = np.ceil((value_T - low) / (high - low) * (num_cells - 1) - 0.5).astype(np.int64)
    return np.clip(cells_T, 0, num_cells - 1), num_cells


def _num_steps(dimension: IntRange | FloatRange, low: float, high: float) -> int:
    if isinstance(dimension, IntRange) and dimension.log:
        return math.ceil(math.log2(high - low + 1)) + 1
    return NUM_CELLS if dimension.num_values is None else dimension.num_values


def _density_of_choices(counts_C: Counts) -> Floats:
    """Each kind of choice that was seen has a kernel around it, and one more is the same everywhere."""
    seen = np.flatnonzero(counts_C)
    kernels_KC = np.full((len(seen) + 1, len(counts_C)), 1.0 / (len(seen) + 1))
    kernels_KC[np.arange(len(seen)), seen] += 1.0
    return _mixture(counts_C[seen], kernels_KC / kernels_KC.sum(axis=1, keepdims=True))


def _density_of_numbers(counts_C: Counts) -> Floats:
    """Normal kernels around the cells that were seen, of Scott's width, and a wide one around the middle."""
    seen = np.flatnonzero(counts_C)
    centres_K = np.append(seen, (len(counts_C) - 1) / 2.0)
    widths_K = np.append(np.full(len(seen), _scott(seen, counts_C[seen])), float(len(counts_C)))
    edges_E = np.arange(len(counts_C) + 1) - 0.5
    at_edges_KE = _normal_cdf((edges_E - centres_K[:, None]) / widths_K[:, None])
    kernels_KC = np.diff(at_edges_KE, axis=1)
    return _mixture(counts_C[seen], kernels_KC / kernels_KC.sum(axis=1, keepdims=True))


def _mixture(counts_K: Counts, kernels_KC: Floats) -> Floats:
    shares_K = np.append(counts_K, 1.0)
    mixed_C: Floats = shares_K / shares_K.sum() @ kernels_KC
    return mixed_C


def _scott(seen: Counts, counts_K: Counts) -> float:
    """The width of kernels by Scott's rule, 1992, of cells that were seen so often."""
    until_K, num = np.cumsum(counts_K), int(counts_K.sum())
    deviation = math.sqrt((seen - seen @ counts_K / num) ** 2 @ counts_K / max(1, num - 1))
    first, third = np.searchsorted(until_K, num // 4, side="left"), np.searchsorted(until_K, num * 3 // 4, side="right")
    middle = float(seen[min(len(seen) - 1, int(third))] - seen[int(first)])
    return max(1.059 * min(middle / 1.34, deviation) * float(num**-0.2), MIN_SIGMA)


def _normal_cdf(z: Floats) -> Floats:
    below: Floats = np.vectorize(lambda each: 0.5 * (1.0 + math.erf(each / math.sqrt(2.0))), otypes=[np.float64])(z)
    return below
