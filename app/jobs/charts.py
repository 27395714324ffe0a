"""Which curves of a job are drawn together, and the drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app import charts
from app.jobs.curves import Axis, Series

ChartName = Literal["loss", "score", "learning_rate", "gradient_norm", "throughput", "cpu", "memory"]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share a pair of axes; the second one may be logarithmic."""

    title: str
    y_label: str
    series: tuple[str, ...]
    y_log: bool = False


CHARTS: dict[ChartName, Chart] = {
    "loss": Chart("Loss", "loss", ("loss", "train_loss", "validation_loss")),
    "score": Chart("On the validation part", "score", ("validation_accuracy", "validation_roc_auc", "validation_rmse")),
    "learning_rate": Chart("Learning rate", "learning rate", ("learning_rate",), y_log=True),
    "gradient_norm": Chart("Norm of the gradient", "norm", ("gradient_norm",), y_log=True),
    "throughput": Chart("Throughput", "rows per second", ("rows_per_second",)),
    "cpu": Chart("Processor", "cores in use", ("cpu_share",)),
    "memory": Chart("Memory", "bytes", ("rss_bytes", "gpu_memory_bytes")),
}
# The loss of single steps is a cloud; what epochs say stands out against it.
FAINT = frozenset({"loss"})


def draw(name: ChartName, title: str, series: Sequence[Series], *, axis: Axis) -> str:
    """The chart as SVG text."""
    chart = CHARTS[name]
    drawn = [
        charts.Series(
            each.name,
            list(zip(each.x, each.y, strict=True)),
            style="dashed" if each.name.startswith("validation_loss") else "line",
            band=list(zip(each.x, each.low, each.high, strict=True)) if each.name in FAINT else (),
        )
        for each in series
    ]
    return charts.line_chart(title, drawn, x_label=axis, y_label=chart.y_label, y_log=chart.y_log)
