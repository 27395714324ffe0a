"""Where to cut a number into bins: at quantiles of the training rows, or where the target changes most.

Shapes: x_B values of one number, t_BC targets as C columns, edges ascending, one more than there are bins.
Deterministic: yes. Source: sections 3.2.1 and 3.2.2 of Gorishniy et al., arXiv 2203.05556; trees of Breiman et al.,
Classification and Regression Trees, 1984, grown best leaf first.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_LEAF_ROWS = 8
LEAST_GAIN = 1e-9


def quantile_edges(x_B: Floats, num_bins: int) -> Floats:
    """Return edges with about equally many rows between them; fewer where values repeat."""
    return np.unique(np.quantile(x_B, np.linspace(0.0, 1.0, num_bins + 1)))


def target_edges(x_B: Floats, t_BC: Floats, num_bins: int) -> Floats:
    """Return the cuts of a tree with at most so many leaves that explains the targets by this number alone."""
    order_B = np.argsort(x_B, kind="stable")
    x_B = x_B[order_B]
    sums = np.concatenate([np.zeros((1, t_BC.shape[1])), np.cumsum(t_BC[order_B], axis=0)])
    least = LEAST_GAIN * float(np.var(t_BC, axis=0).sum()) * len(x_B)
    cuts: list[int] = []
    leaves: list[tuple[float, int, int, int]] = []
    _offer(leaves, x_B, sums, 0, len(x_B))
    while leaves and len(cuts) < num_bins - 1:
        loss, start, cut, end = heappop(leaves)
        if -loss <= least:
            break
        cuts.append(cut)
        _offer(leaves, x_B, sums, start, cut)
        _offer(leaves, x_B, sums, cut, end)
    middles = [(x_B[cut - 1] + x_B[cut]) / 2.0 for cut in cuts]
    return np.unique([x_B[0], *middles, x_B[-1]])


def _offer(leaves: list[tuple[float, int, int, int]], x_B: Floats, sums: Floats, start: int, end: int) -> None:
    """Put the best cut of the rows from start to end on the heap, with minus the squared error that it saves."""
    cuts = np.arange(start + MIN_LEAF_ROWS, end - MIN_LEAF_ROWS + 1)
    cuts = cuts[x_B[cuts] > x_B[cuts - 1]] if len(cuts) else cuts
    if not len(cuts):
        return
    left = sums[cuts] - sums[start]
    right = sums[end] - sums[cuts]
    saved = (left**2).sum(axis=1) / (cuts - start) + (right**2).sum(axis=1) / (end - cuts)
    best = int(saved.argmax())
    gain = float(saved[best] - ((sums[end] - sums[start]) ** 2).sum() / (end - start))
    heappush(leaves, (-gain, start, int(cuts[best]), end))
