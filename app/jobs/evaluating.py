"""What a claimed evaluation job does: one or two versions answer rows in a confined child, a document comes out."""

from __future__ import annotations

from typing import Any

from app.datasets import service as datasets
from app.jobs import curves, evaluation_service, queue
from app.jobs.lease import Beat
from app.jobs.training import Training, described
from app.principal import Principal


class Evaluating(Training):
    """An attempt to measure: supervised as a training, with other work and another result; it begins anew each time."""

    def _prepare(self) -> None:
        place, plan = self.place, self.job.plan
        with place.sessions.begin() as session:
            dataset = datasets.get_by_id(session, self.job.dataset_id or "")
            queue.beat(session, self.lease, Beat(rewind_to=-1))
            self._last_sample = curves.last_sample(session, self.job.id)
            found = [evaluation_service.measured(session, dataset, each) for each in plan["versions"]]
        data = place.storage.verified_path(dataset.parquet_sha256)
        graphs = [str(place.storage.verified_path(row.graph_sha256)) for row, _ in found]
        versions = [
            {"reference": each["reference"], "manifest": row.manifest, "graph": graph, "plan": training}
            for each, (row, training), graph in zip(plan["versions"], found, graphs, strict=True)
        ]
        request = {**plan, "dataset": described(dataset, data), "versions": versions}
        self._order("evaluate", request, [str(data), *graphs])

    def _succeed(self, end: dict[str, Any]) -> None:
        with self.place.storage.holding():
            evaluation = self._files.keep_all(end["files"])["evaluation"]
            version = self.job.plan["versions"][0]["version"]
            principal = Principal(self.job.project_id, "", frozenset())
            with self.place.sessions.begin() as session:
                queue.beat(session, self.lease, self.report)
                queue.succeed(session, self.lease, principal, version=version, metrics=end["metrics"])
                evaluation_service.keep(session, self.job.id, evaluation.sha256)
