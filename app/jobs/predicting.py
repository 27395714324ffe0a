"""What a claimed batch prediction does: a version answers a data set block by block, a data set of answers comes out.

Each finished block is stored at once, so an attempt goes on where the one before it has ended, however that was.
"""

from __future__ import annotations

import time
from typing import Any

from app.datasets import making
from app.datasets import service as datasets
from app.datasets.service import Draft
from app.durable import Blob
from app.jobs import batch_service, curves, queue
from app.jobs.attempt import Workplace
from app.jobs.batch_service import Finished
from app.jobs.lease import Beat
from app.jobs.training import Training, described
from app.principal import Principal
from app.storage import Storage
from app.tables import JobRow


class Predicting(Training):
    """An attempt to answer: supervised as a training, with other work and another result."""

    grace_seconds = 5.0

    def __init__(self, place: Workplace, job: JobRow) -> None:
        super().__init__(place, job)
        self._num_rows = self._num_done = self._num_rejected = 0

    def _prepare(self) -> None:
        place, plan = self.place, self.job.plan
        with place.sessions.begin() as session:
            dataset = datasets.get_by_id(session, self.job.dataset_id or "")
            version = batch_service.answering(session, plan)
            done = batch_service.finished(session, self.job.id)
            queue.beat(session, self.lease, Beat())
            self._last_sample = curves.last_sample(session, self.job.id)
        self._num_rows = dataset.num_rows
        self._num_done, self._num_rejected = done.num_rows, done.num_rejected
        data = place.storage.verified_path(dataset.parquet_sha256)
        graph = place.storage.verified_path(version.graph_sha256)
        request = {
            "dataset": described(dataset, data),
            "manifest": version.manifest,
            "graph": str(graph),
            "first_row": done.num_rows,
            **{name: plan[name] for name in ("keep", "probabilities", "interval")},
        }
        self._order("predict", request, [str(data), str(graph)])

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "block":
            self._save_block(message)
        else:
            super()._hear(message)

    def _save_block(self, message: dict[str, Any]) -> None:
        with self.place.storage.holding():
            answers = self._files.keep(message["answers"])
            rejected = self._files.keep(message["rejected"]) if message["rejected"] else None
            self._num_done += message["num_rows"]
            self._num_rejected += message["num_rejected"]
            self._tell_rows(message["rows_per_second"])
            with self.place.sessions.begin() as session:
                self.control = queue.beat(session, self.lease, self.report)
                listed = rejected.sha256 if rejected else None
                batch_service.add_block(session, self.job.id, message, answers.sha256, listed)
        self.report, self.last_beat = Beat(), time.monotonic()

    def _tell_rows(self, rows_per_second: float) -> None:
        self._tell_progress(
            rows_done=self._num_done,
            num_rows=self._num_rows,
            num_rejected=self._num_rejected,
            fraction=self._num_done / self._num_rows,
            rows_per_second=rows_per_second,
            seconds_elapsed=self._seconds(),
            seconds_remaining=(self._num_rows - self._num_done) / rows_per_second,
        )

    def _succeed(self, end: dict[str, Any]) -> None:
        """Gather the blocks into a data set, and show it in the transaction that ends the job."""
        place, job = self.place, self.job
        with place.read_sessions.begin() as session:
            done = batch_service.finished(session, job.id)
        order = {"operation": "gather", "columns": job.plan["columns"]}
        inputs = {f"block-{block.first_row}": block.sha256 for block in done.blocks}
        made = self.on_tables(
            lambda: making.make(
                order,
                making.verified(place.storage, inputs),
                making.Place(place.storage, place.settings, self.folder),
                project_id=job.project_id,
                watch=self.watch,
            )
        )
        if made is None:
            return
        result = {"num_rows": done.num_rows, "num_rejected": done.num_rejected, "warnings": done.warnings}
        principal = Principal(job.project_id, "", frozenset())
        with place.storage.holding():
            table = making.keep(made, place.storage)
            rejected = _put_rejected(place.storage, done)
            with place.sessions.begin() as session:
                queue.beat(session, self.lease, self.report)
                row = datasets.register(session, principal, self._draft(), table)
                batch_service.keep_rejected(session, job.id, rejected.sha256)
                summary = f"{row.id} with {done.num_rows - done.num_rejected} of {done.num_rows} rows answered"
                result |= {"dataset": row.id}
                version = job.plan["version"]
                queue.succeed(session, self.lease, principal, version=version, result=result, summary=summary)

    def _draft(self) -> Draft:
        plan = self.job.plan
        asked = {name: plan[name] for name in ("keep", "probabilities", "interval")}
        origin = {"operation": "predict", "model": plan["reference"], "job": self.job.id, **asked}
        origin |= {"graph": self.job.digests["graph"]}
        return Draft(plan["name"], origin, parent_id=self.job.dataset_id)


def _put_rejected(storage: Storage, done: Finished) -> Blob:
    with storage.receive() as incoming:
        for sha256 in (block.rejected_sha256 for block in done.blocks):
            if sha256 is not None:
                incoming.write(storage.read(sha256))
        return storage.keep(incoming)
