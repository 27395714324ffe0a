"""Histograms of what every version answers: cheap to add to, bounded in number, shown to their own project only.

Adding to one takes less than a microsecond; the library's own histograms lock, and are for what happens less often.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily

SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 16384.0)
# Versions with figures in one process; beyond, those go whose predictor was loaded the longest ago.
MOST_VERSIONS = 256


class Histogram:
    """Counts of values up to each bound, and beyond."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value. Threads that add at the same instant may lose one of the two, which no percentile shows."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative counts by upper bound, as the exposition wants them."""
        bounds = [*map(str, self.bounds), "+Inf"]
        return [(bound, float(count)) for bound, count in zip(bounds, accumulate(self.counts), strict=True)]


class Figures:
    """The histograms of one version."""

    __slots__ = ("rows", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram(SECONDS)
        self.rows = Histogram(ROWS)


class AllFigures:
    """The histograms of the versions that one API process has loaded; they outlive the predictors."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], Figures] = OrderedDict()

    def of(self, project_id: str, reference: str) -> Figures:
        """Those of a version of a project."""
        with self._lock:
            found = self._known.pop((project_id, reference), None) or Figures()
            self._known[project_id, reference] = found
            if len(self._known) > MOST_VERSIONS:
                self._known.popitem(last=False)
            return found

    def families(self, project_id: str) -> Iterator[Metric]:
        """The metrics of a project's versions."""
        with self._lock:
            mine = [(reference, each) for (owner, reference), each in self._known.items() if owner == project_id]
        seconds = HistogramMetricFamily("maas_prediction_seconds", "Time to compute an answer.", labels=["model"])
        rows = HistogramMetricFamily("maas_prediction_rows", "Rows answered at a time.", labels=["model"])
        for reference, each in mine:
            seconds.add_metric([reference], each.seconds.buckets(), each.seconds.total)
            rows.add_metric([reference], each.rows.buckets(), each.rows.total)
        yield from (seconds, rows)
