"""What a claimed ingest job does: bytes or tables go in, a sandboxed child reads them, a data set becomes ready."""

from __future__ import annotations

from app.datasets import making
from app.datasets import service as datasets
from app.datasets.process import Report
from app.jobs import journal, queue
from app.jobs.attempt import Attempt, Workplace
from app.principal import Principal
from app.tables import JobRow


class Stopped(Exception):
    """The work was asked to stop, or its worker is leaving."""


class Ingesting(Attempt):
    """An attempt to make a data set; one that is interrupted begins again."""

    def __init__(self, place: Workplace, job: JobRow) -> None:
        super().__init__(place, job)
        self._phase: str | None = None

    def work(self) -> None:
        """Make the table, then show it."""
        job, place = self.job, self.place
        try:
            made = making.make(
                job.plan["order"],
                making.verified(place.storage, job.plan["inputs"]),
                making.Place(place.storage, place.settings, self.folder),
                project_id=job.project_id,
                watch=self._watch,
            )
        except Stopped:
            self.stopped("cancelled" if self.control == "cancel" else "stopped")
            return
        with place.storage.holding():
            table = making.keep(made, place.storage)
            with place.sessions.begin() as session:
                queue.beat(session, self.lease, self.report)
                datasets.complete(session, job.dataset_id or "", table)
                queue.succeed(session, self.lease, Principal(job.project_id, "", frozenset()))

    def _watch(self, report: Report | None) -> None:
        if report is not None:
            self._hear(report)
        self.beat_if_due()
        if self.control in ("cancel", "pause") or self.leaving.is_set():
            raise Stopped

    def _hear(self, report: Report) -> None:
        phase = str(report["phase"])
        if phase != self._phase:
            self._phase = self.report.phase = phase
            self.report.events.append(journal.event("phase", f"Phase: {phase}.", phase=phase))
        self.report.progress = {"phase": phase, "fraction": report["fraction"]}
