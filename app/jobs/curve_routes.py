"""/v1/jobs/{job_id}/metrics and /charts: the curves of a job, as data and as pictures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response
from sqlalchemy.orm import Session

from app.charts import HEADERS, MEDIA_TYPE
from app.errors import Invalid
from app.jobs import charts, curves, service
from app.jobs.charts import ChartName
from app.jobs.curve_schemas import JobChartRead, SeriesRead, show_series
from app.jobs.curves import Axis, Series
from app.jobs.routes import JobId
from app.principal import Principal
from app.web.paging import Cursor, Page, page
from app.web.routing import Caller, InSession, allow, router

routes = router("jobs")
SVG: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}
MAX_STEP = 10**15
Named = Annotated[ChartName, Path(description="Name of a chart.")]
Names = Annotated[str | None, Query(max_length=2000, description="Only these, separated by commas; default: all.")]


class Window:
    """Which part of the curves is asked for, and how finely."""

    def __init__(
        self,
        axis: Annotated[Axis, Query(description="What `x` is.")] = "step",
        from_step: Annotated[int | None, Query(ge=0, le=MAX_STEP, description="Nothing before this step.")] = None,
        to_step: Annotated[int | None, Query(ge=0, le=MAX_STEP, description="Nothing after this step.")] = None,
        resolution: Annotated[int, Query(ge=2, le=10_000, description="Most points of one curve.")] = 500,
    ) -> None:
        if from_step is not None and to_step is not None and from_step > to_step:
            detail = "The range ends before it begins."
            raise Invalid(detail, errors=[{"pointer": "query:to_step", "detail": detail}])
        self.axis, self.resolution = axis, resolution
        self.from_step, self.to_step = from_step, to_step

    def read(self, session: Session, job_id: str, names: frozenset[str] | None) -> list[Series]:
        """The curves with these names, or all."""
        points = curves.read(session, job_id, from_step=self.from_step, to_step=self.to_step)
        return curves.series(points, axis=self.axis, resolution=self.resolution, names=names)


Asked = Annotated[Window, Depends()]


@routes.get("/v1/jobs/{job_id}/metrics")
@allow("read")
def list_job_metrics(
    job_id: JobId, caller: Caller, session: InSession, window: Asked, series: Names = None
) -> Page[SeriesRead]:
    """The curves of a job: losses, scores, learning rate, throughput, resources; any range, at any resolution."""
    job = service.get(session, caller, job_id)
    names = None if series is None else frozenset(name.strip() for name in series.split(","))
    made = [show_series(each) for each in window.read(session, job.id, names)]
    return page(made, Cursor(limit=1000), key="name")


@routes.get("/v1/jobs/{job_id}/charts/{name}.json")
@allow("read")
def get_job_chart(job_id: JobId, name: Named, caller: Caller, session: InSession, window: Asked) -> JobChartRead:
    """The curves of one chart as data."""
    title, made = _chart(session, caller, job_id, name, window)
    return JobChartRead(
        name=name,
        title=title,
        x_label=window.axis,
        y_label=charts.CHARTS[name].y_label,
        series=[show_series(each) for each in made],
    )


@routes.get("/v1/jobs/{job_id}/charts/{name}.svg", response_class=Response, responses=SVG)
@allow("read")
def draw_job_chart(job_id: JobId, name: Named, caller: Caller, session: InSession, window: Asked) -> Response:
    """One chart as a picture that needs no script and fits light and dark pages."""
    title, made = _chart(session, caller, job_id, name, window)
    drawn = charts.draw(name, title, made, axis=window.axis)
    return Response(drawn, media_type=MEDIA_TYPE, headers=HEADERS)


def _chart(
    session: Session, caller: Principal, job_id: str, name: ChartName, window: Window
) -> tuple[str, list[Series]]:
    job = service.get(session, caller, job_id)
    chart = charts.CHARTS[name]
    title = f"{chart.title}: {job.model or job.id}"
    return title, window.read(session, job.id, frozenset(chart.series))
