"""What a claimed job of kind `estimate` does: a child tries a training on a sample; the answer stays on the job's row.

It runs beside the worker's slots, at most one at a time, so that it never waits behind a training.
"""

from __future__ import annotations

from typing import Any

from app.datasets import service as datasets
from app.jobs import queue
from app.jobs.lease import Beat
from app.jobs.training import Training, described
from app.principal import Principal


class Estimating(Training):
    """An attempt to estimate: supervised as a training, with other work and another result."""

    grace_seconds = 0.0

    def _prepare(self) -> None:
        place, plan, limits = self.place, self.job.plan, self.job.plan["limits"]
        with place.sessions.begin() as session:
            dataset = datasets.get_by_id(session, self.job.dataset_id or "")
            queue.beat(session, self.lease, Beat())
        self._last_sample = 0
        data = place.storage.verified_path(dataset.parquet_sha256)
        settings = {"max_parameters": place.settings.max_parameters, "processes": place.settings.job_processes}
        request = {**plan["training"], "dataset": described(dataset, data), "threads": 1, **settings, **limits}
        self._order("estimate", request, [str(data)])

    def _succeed(self, end: dict[str, Any]) -> None:
        principal = Principal(self.job.project_id, "", frozenset())
        result = {name: end[name] for name in ("timing", "reason", "problems")}
        with self.place.sessions.begin() as session:
            queue.beat(session, self.lease, self.report)
            queue.succeed(session, self.lease, principal, result=result, summary="estimated")
