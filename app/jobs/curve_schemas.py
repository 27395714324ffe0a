"""What the routes of curves and charts show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.types import JsonValue

from app.jobs.curves import Kind, Series

EXAMPLE: dict[str, JsonValue] = {
    "name": "validation_loss",
    "object": "series",
    "kind": "epoch",
    "num_points": 3,
    "x": [13, 26, 39],
    "y": [0.62, 0.31, 0.24],
    "low": [0.62, 0.31, 0.24],
    "high": [0.62, 0.31, 0.24],
}


class SeriesRead(BaseModel):
    """One curve, as far as it was asked for: `y[i]` belongs to `x[i]`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: str
    object: Literal["series"] = "series"
    kind: Kind = Field(description="What its points stand for: steps, epochs, or samples of what the job uses.")
    num_points: int = Field(description="Stored points in the range; more than there are `x` when they were thinned.")
    x: list[float] = Field(description="Where the points lie on the axis that was asked for.")
    y: list[float] = Field(description="The value there; where several were put together, their mean.")
    low: list[float] | None = Field(description="The least of the values put together; null when no point is several.")
    high: list[float] | None = Field(description="The greatest of them.")


class JobChartRead(BaseModel):
    """A chart as data: what the SVG of the same name shows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "loss",
                    "object": "chart",
                    "title": "Loss of penguins",
                    "x_label": "step",
                    "y_label": "loss",
                    "series": [EXAMPLE],
                }
            ]
        }
    )

    name: str
    object: Literal["chart"] = "chart"
    title: str
    x_label: str
    y_label: str
    series: list[SeriesRead]


def show_series(series: Series) -> SeriesRead:
    """A curve as clients see it, in as few digits as tell all numbers of single precision apart."""
    has_extremes = series.low != series.y or series.high != series.y
    return SeriesRead(
        name=series.name,
        kind=series.kind,
        num_points=series.num_points,
        x=_short(series.x),
        y=_short(series.y),
        low=_short(series.low) if has_extremes else None,
        high=_short(series.high) if has_extremes else None,
    )


def _short(numbers: list[float]) -> list[float]:
    return [float(f"{number:.9g}") for number in numbers]
