"""What a claimed ingest job does: bytes or tables go in, a sandboxed child reads them, a data set becomes ready."""

from __future__ import annotations

from app.datasets import making
from app.datasets import service as datasets
from app.datasets.process import Report
from app.jobs import queue
from app.jobs.attempt import Attempt
from app.principal import Principal


class Ingesting(Attempt):
    """An attempt to make a data set; one that is interrupted begins again."""

    def work(self) -> None:
        """Make the table, then show it."""
        job, place = self.job, self.place
        made = self.on_tables(
            lambda: making.make(
                job.plan["order"],
                making.verified(place.storage, job.plan["inputs"]),
                making.Place(place.storage, place.settings, self.folder),
                project_id=job.project_id,
                watch=self.watch,
            )
        )
        if made is None:
            return
        with place.storage.holding():
            table = making.keep(made, place.storage)
            with place.sessions.begin() as session:
                queue.beat(session, self.lease, self.report)
                datasets.complete(session, job.dataset_id or "", table)
                queue.succeed(session, self.lease, Principal(job.project_id, "", frozenset()))

    def hear_of_tables(self, report: Report) -> None:
        """Note a new phase, and how far it is."""
        super().hear_of_tables(report)
        self.report.progress = {"phase": str(report["phase"]), "fraction": report["fraction"]}
