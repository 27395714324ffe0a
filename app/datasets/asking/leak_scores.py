"""How well one column tells a target on rows it was not learned from: by its values, its bins, a line, a curve.

Arrays have one number per row; a missing cell is NaN, which is a value like any other here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Rows = NDArray[np.bool_]

# Few large bins bear noise, many small ones find the edge between two classes.
MIN_BINS, MAX_BINS = 20, 1_000
ROWS_PER_BIN = (50, 5)
ROWS_PER_POINT = 5
# With fewer rows of other classes a column may tell them by chance.
MIN_OTHER_ROWS = 10
SEED = 0


class Classes:
    """The share of rows whose class is the most frequent one of their value or bin."""

    def __init__(self, target: Array) -> None:
        self._classes = np.unique(target, return_inverse=True)[1]
        self._halves = _halves(len(target))
        counts = np.bincount(self._classes) if len(target) else np.ones(1)
        self.baseline = float(counts.max() / counts.sum())
        self.is_telling = bool(counts.sum() - counts.max() >= MIN_OTHER_ROWS)

    def __call__(self, cells: Array, *, is_number: bool) -> float:
        """The score of a column, between 0 and 1."""
        return max(self._score(cells, rows_per_bin) for rows_per_bin in (ROWS_PER_BIN if is_number else (0,)))

    def _score(self, cells: Array, rows_per_bin: int) -> float:
        num_right = 0
        for learn in self._halves:
            codes = _codes(cells, learn, rows_per_bin)
            num_right += int((self._told(codes, learn)[~learn] == self._classes[~learn]).sum())
        return num_right / max(1, len(cells))

    def _told(self, codes: Codes, learn: Rows) -> Codes:
        """The class that each row's code has most often in the learned rows, else the most frequent class."""
        num_classes = int(self._classes.max(initial=0)) + 1
        pairs, counts = np.unique(codes[learn] * num_classes + self._classes[learn], return_counts=True)
        # By code, then by count: the last pair of each code is its most frequent one.
        order = np.lexsort((counts, pairs // num_classes))
        pairs = pairs[order]
        told = np.full(int(codes.max(initial=0)) + 1, np.bincount(self._classes[learn], minlength=1).argmax())
        told[pairs // num_classes] = pairs % num_classes
        return told[codes]


class Numbers:
    """The share of the variance that is explained by means of values or bins, by a line, or by a curve."""

    baseline = 0.0

    def __init__(self, target: Array) -> None:
        # Squares of very large numbers would overflow; the scale changes no score.
        largest = np.abs(target).max(initial=0.0)
        # The order of the values is looked at, too: the logarithm of a price is as good as the price.
        self._targets = (target / largest if largest else target, _ranks(target))
        self._halves = _halves(len(target))
        self.is_telling = len(target) >= 2 * MIN_OTHER_ROWS

    def __call__(self, cells: Array, *, is_number: bool) -> float:
        """The score of a column, at most 1."""
        scores = (
            [_explained(cells, target, learn, is_number=is_number) for learn in self._halves]
            for target in self._targets
        )
        return max(float(np.mean(each)) for each in scores)


def _explained(cells: Array, target: Array, learn: Rows, *, is_number: bool) -> float:
    """The share of the variance in the rows not learned from, by the best of the ways to tell the target."""
    wanted = target[~learn]
    spread = float(((wanted - wanted.mean()) ** 2).sum()) if len(wanted) else 0.0
    if spread == 0 or not learn.any():
        return 0.0
    told = [_means(_codes(cells, learn, ROWS_PER_BIN[0] if is_number else 0), target, learn)]
    if is_number:
        told += _lines(cells, target, learn)
    return max(0.0, *(1 - float(((wanted - each[~learn]) ** 2).sum()) / spread for each in told))


def _means(codes: Codes, target: Array, learn: Rows) -> Array:
    counts = np.bincount(codes[learn], minlength=int(codes.max(initial=0)) + 1)
    sums = np.bincount(codes[learn], target[learn], minlength=len(counts))
    means: Array = np.where(counts > 0, sums / np.maximum(counts, 1), target[learn].mean())
    return means[codes]


def _lines(cells: Array, target: Array, learn: Rows) -> list[Array]:
    """A straight line, and a curve through the means of a few neighbours each; missing cells get the mean."""
    known = ~np.isnan(cells)
    largest = np.abs(cells[known]).max(initial=0.0)
    scaled = cells / largest if largest else cells
    order = np.argsort(scaled[learn & known], kind="stable")
    x, y = scaled[learn & known][order], target[learn & known][order]
    if len(x) < 2 * ROWS_PER_POINT or x[0] == x[-1]:
        return []
    starts = np.arange(0, len(x) - ROWS_PER_POINT + 1, ROWS_PER_POINT)
    sizes = np.diff(np.append(starts, len(x)))
    curve = np.interp(scaled, np.add.reduceat(x, starts) / sizes, np.add.reduceat(y, starts) / sizes)
    # Numbers that differ too little for squares have a curve, but no slope.
    squares = max(float(((x - x.mean()) ** 2).sum()), np.finfo(np.float64).tiny)
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / squares
    line = y.mean() + slope * (scaled - x.mean())
    mean = target[learn].mean()
    return [np.where(known, line, mean), np.where(known, curve, mean)]


def _ranks(target: Array) -> Array:
    """The place of each value among all, equal ones in the middle of theirs, between 0 and 1."""
    _, codes, counts = np.unique(target, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - counts / 2)[codes] / max(1, len(target))
    return ranks


def _halves(num_rows: int) -> tuple[Rows, Rows]:
    """Which rows are learned from, first and second time; by chance, but the same every time."""
    first = np.random.default_rng(SEED).random(num_rows) < 0.5
    return first, ~first


def _codes(cells: Array, learn: Rows, rows_per_bin: int) -> Codes:
    """A number from 0 for each value, or, with rows per bin, for each of at most MAX_BINS bins.

    Missing cells have a number of their own.
    """
    learned = cells[learn & ~np.isnan(cells)]
    num_bins = min(MAX_BINS, max(MIN_BINS, len(learned) // max(1, rows_per_bin)))
    if rows_per_bin and len(learned) and len(np.unique(learned)) > num_bins:
        cuts = np.unique(np.quantile(learned, np.linspace(0, 1, num_bins + 1)[1:-1]))
        codes: Codes = np.where(np.isnan(cells), len(cuts) + 1, np.searchsorted(cuts, cells, side="right"))
        return codes
    return np.unique(cells, return_inverse=True)[1].astype(np.int64)
