"""Charts of an evaluation as pictures."""

from __future__ import annotations

from app.charts import Bar, Series, bar_chart, heat_map, line_chart
from app.models.evaluation_schemas import BarsRead, ChartRead, HeatMapRead

NO_VALUE = float("nan")


def draw(chart: ChartRead) -> str:
    """The chart as SVG text."""
    if isinstance(chart, HeatMapRead):
        return heat_map(
            chart.title, chart.values, row_labels=chart.row_labels, column_labels=chart.column_labels,
            x_label=chart.x_label, y_label=chart.y_label,
        )  # fmt: skip
    if isinstance(chart, BarsRead):
        bars = [Bar(bar.label, NO_VALUE if bar.value is None else bar.value) for bar in chart.bars]
        return bar_chart(chart.title, bars, x_label=chart.x_label)
    series = [
        Series(each.name, [(NO_VALUE if x is None else x, y) for x, y in each.points], each.style)
        for each in chart.series
    ]
    return line_chart(chart.title, series, x_label=chart.x_label, y_label=chart.y_label)
