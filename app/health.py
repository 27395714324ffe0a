"""Liveness, readiness, metrics, and the OpenAPI document with a page that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from fastapi import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.types import Scope

from app.database import is_current
from app.errors import Unavailable
from app.tables import JobRow
from app.web.routing import Caller, InSession, allow, allow_anybody, router

routes = router("operations")
OPEN_METRICS = {"application/openmetrics-text": {"schema": {"type": "string"}}}
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

RUNNING: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "maas_job_progress_ratio": ("Steps done of a running job.", lambda told: told.get("fraction")),
    "maas_job_rows_per_second": ("Rows a second of a running job.", lambda told: told.get("rows_per_second")),
    "maas_job_remaining_seconds": ("Most time that is left.", lambda told: told.get("seconds_remaining_at_most")),
    "maas_job_validation_loss": ("Validation loss of the last epoch.", lambda told: told.get("validation_loss")),
    "maas_job_cores": ("Cores that a running job keeps busy.", lambda told: _used(told, "cpu_share")),
    "maas_job_memory_bytes": ("Memory of the process of a running job.", lambda told: _used(told, "rss_bytes")),
}


class Metrics:
    """The figures of one API process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "maas_request_seconds",
            "Time to answer, by route.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.answers = Counter(
            "maas_requests", "Answers, by route and status.", ["method", "route", "status"], registry=self.registry
        )
        self._children: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}
        self.loaded = Gauge("maas_loaded_model_bytes", "Memory of the loaded models.", registry=self.registry)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answer under the template of its route, never under what the client wrote."""
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in getattr(scope.get("route"), "methods", ()) else "other"
        key = method, route, status
        if key not in self._children:
            self._children[key] = self.seconds.labels(method, route), self.answers.labels(method, route, status)
        histogram, counter = self._children[key]
        histogram.observe(seconds)
        counter.inc()


class Exposed:
    """The figures of the process, and with them those that only the asking project may see."""

    def __init__(
        self, registry: CollectorRegistry, models: Iterable[Metric], jobs: dict[str, int], running: Sequence[JobRow]
    ) -> None:
        self._registry = registry
        self._models = models
        self._running = list(_figures_of(running))
        self._jobs = GaugeMetricFamily("maas_jobs", "Jobs of the project, by status.", labels=["status"])
        for status, count in jobs.items():
            self._jobs.add_metric([status], count)

    def collect(self) -> Iterator[Metric]:
        """All of them, as the exposition asks for them."""
        yield from self._registry.collect()
        yield from self._models
        yield self._jobs
        yield from self._running


def _figures_of(running: Sequence[JobRow]) -> Iterator[Metric]:
    """What running jobs have told; there are no more of them than workers have slots."""
    for name, (help_text, find) in RUNNING.items():
        gauge = GaugeMetricFamily(name, help_text, labels=["job", "model"])
        for job in running:
            value = find(job.progress)
            if value is not None:
                gauge.add_metric([job.id, job.model or ""], float(value))
        yield gauge


def _used(progress: dict[str, Any], name: str) -> Any:
    return (progress.get("resources") or {}).get(name)


@routes.get("/healthz")
@allow_anybody
def healthz() -> dict[str, str]:
    """Whether the process answers at all."""
    return {"status": "ok"}


@routes.get("/readyz")
@allow_anybody
def readyz(request: Request) -> dict[str, str]:
    """Whether the database answers and has the schema of this version."""
    try:
        ready = is_current(request.app.state.engine)
    except SQLAlchemyError:
        ready = False
    if not ready:
        raise Unavailable("The database does not answer, or has another version's schema.", code="db-unavailable")
    return {"status": "ready"}


@routes.get("/metrics", response_class=Response, responses={200: {"content": OPEN_METRICS}})
@allow("read")
def metrics(request: Request, caller: Caller, session: InSession) -> Response:
    """Figures of this process and of the project's jobs, in the OpenMetrics text format."""
    figures: Metrics = request.app.state.metrics
    loaded = request.app.state.served.loaded
    figures.loaded.set(loaded.size_bytes)
    query = (
        select(JobRow.status, func.count().label("num"))
        .where(JobRow.project_id == caller.project_id)
        .group_by(JobRow.status)
    )
    jobs = {row.status: row.num for row in session.execute(query)}
    running = session.scalars(select(JobRow).where(JobRow.project_id == caller.project_id, JobRow.status == "running"))
    of_models = chain(loaded.figures.families(caller.project_id), request.app.state.drifts.families(caller.project_id))
    exposed = Exposed(figures.registry, of_models, jobs, running.all())
    content: bytes = generate_latest(exposed)  # type: ignore[no-untyped-call]
    return Response(content, media_type=CONTENT_TYPE_LATEST)


@routes.get("/openapi.json", include_in_schema=False)
@allow_anybody
def openapi(request: Request) -> Any:
    """The OpenAPI document."""
    return request.app.openapi()


@routes.get("/docs", include_in_schema=False)
@allow_anybody
def docs(request: Request) -> Response:
    """The OpenAPI document as a page that needs no script and no network."""
    # A page for people: built when somebody looks at it.
    from app.web.reference_page import STYLE_POLICY, render

    headers = {"content-security-policy": STYLE_POLICY}
    return Response(render(request.app.openapi()), headers=headers, media_type="text/html; charset=utf-8")
