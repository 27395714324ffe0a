"""How far a distribution moved: the population stability index, and the largest or total distance of two.

Arrays have one number per row, NaN for a missing cell, which counts only in the share of missing cells.
Sources: Siddiqi 2006 for the index and its thresholds; Kolmogorov and Smirnov for the distance of numbers; total
variation for classes. All of it is deterministic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NUM_BINS = 10
NUM_TOP = 50
# An empty bin would make the index infinite.
MIN_SHARE = 1e-4


def missing_share(cells: Array) -> float:
    """The share of missing cells; 0 without rows."""
    return float(np.isnan(cells).mean()) if len(cells) else 0.0


def of_numbers(before: Array, after: Array) -> dict[str, Any]:
    """The index over deciles of `before`, and the largest difference of the two distribution functions."""
    before, after = (np.sort(cells[~np.isnan(cells)]) for cells in (before, after))
    if not len(before) or not len(after):
        return {}
    # Each cut is a value: the last of the first tenth of the rows, of the first two tenths, and so on.
    cuts = np.unique(before[-(-np.arange(1, NUM_BINS) * len(before) // NUM_BINS) - 1])
    counts = [np.bincount(np.searchsorted(cuts, cells), minlength=len(cuts) + 1) for cells in (before, after)]
    points = np.concatenate([before, after])
    below = [np.searchsorted(cells, points, side="right") / len(cells) for cells in (before, after)]
    return {"psi": _psi(*counts), "distance": float(np.abs(below[0] - below[1]).max())}


def of_classes(before: Array, after: Array) -> dict[str, Any]:
    """The index over the frequent classes of `before` and the rest, half of all differences, and what is new."""
    before, after = (cells[~np.isnan(cells)] for cells in (before, after))
    if not len(before) or not len(after):
        return {}
    classes, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(classes)) for part in np.split(codes, [len(before)])]
    shares = [count / count.sum() for count in counts]
    order = np.argsort(-counts[0], kind="stable")
    grouped = [np.append(count[order[:NUM_TOP]], count[order[NUM_TOP:]].sum()) for count in counts]
    return {
        "psi": _psi(*grouped),
        "distance": float(np.abs(shares[0] - shares[1]).sum() / 2),
        "new_values_share": float(shares[1][counts[0] == 0].sum()),
    }


def _psi(before: NDArray[Any], after: NDArray[Any]) -> float:
    known = (before > 0) | (after > 0)
    p, q = (np.maximum(counts[known] / counts.sum(), MIN_SHARE) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())
