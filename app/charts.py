"""Charts as SVG text: lines, bars, heat maps; self-contained, without script, in light and dark.

    line_chart(title, [Series(name, [(x, y), ...], style=..., band=[(x, low, high), ...])], x_label=, y_label=,
               x_log=False, y_log=False) -> str       curves over one pair of axes, with a legend
    bar_chart(title, [Bar(label, value, low=None, high=None), ...], x_label=) -> str    horizontal bars, with intervals
    heat_map(title, values, row_labels=, column_labels=, x_label=, y_label=) -> str     such as a confusion matrix

All text is escaped. Values that have no place on an axis (None, NaN, infinite, not positive on a logarithmic one) leave
a gap. A chart draws what it is given: thin out long series first. Answer them with `MEDIA_TYPE` and `HEADERS`, whose
policy lets in the style that stands in every chart, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from app.chart_axes import Axis, is_drawable, write

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 44, 56
# Okabe and Ito, Color Universal Design, 2008: told apart by everybody, on white and on black.
COLOURS = ("#0077bb", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888")
MAX_LABEL = 24
MAX_CELL_TEXTS = 400
STYLE = (
    "svg{color-scheme:light dark}text{font:12px system-ui,sans-serif;fill:#222}.h{font-size:15px;font-weight:600}"
    ".b{fill:#fff}.g{stroke:#8884}.a{stroke:#888}.m{fill:#666}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#16181c}.m{fill:#aaa}}"
)
MEDIA_TYPE = "image/svg+xml"
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {"content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'"}

Style = Literal["line", "dashed", "points"]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: points in the order in which they are joined, and optionally an interval around it."""

    name: str
    points: Sequence[tuple[float, float | None]]
    style: Style = "line"
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, with the ends of its interval where they are known."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


def line_chart(
    title: str, series: Sequence[Series], *, x_label: str, y_label: str, x_log: bool = False, y_log: bool = False
) -> str:
    """Curves over one pair of axes."""
    xs = [x for each in series for x, _ in each.points] + [x for each in series for x, _, _ in each.band]
    ys = [y for each in series for _, y in each.points if y is not None]
    ys += [edge for each in series for _, low, high in each.band for edge in (low, high)]
    bottom = HEIGHT - BOTTOM
    x_axis = Axis.over(xs, LEFT, WIDTH - RIGHT, log=x_log)
    y_axis = Axis.over(ys, bottom, TOP + 20, log=y_log)
    parts = [_x_axis(x_axis, bottom, TOP + 20, x_label), _y_axis(y_axis, y_label)]
    for index, each in enumerate(series):
        parts += [_band(each, x_axis, y_axis, _colour(index)), _curve(each, x_axis, y_axis, _colour(index))]
    if not any(is_drawable(y, log=y_log) for y in ys):
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT / 2, "no values yet", "m", anchor="middle"))
    return _svg(title, [*parts, _legend([each.name for each in series])], HEIGHT)


def bar_chart(title: str, bars: Sequence[Bar], *, x_label: str) -> str:
    """Horizontal bars, in their order from the top."""
    left, row = 190, 26
    bottom = TOP + max(1, len(bars)) * row + 8
    edges = [edge for bar in bars for edge in (bar.low, bar.high) if edge is not None]
    axis = Axis.over([0.0, *(bar.value for bar in bars), *edges], left, WIDTH - RIGHT - 50)
    parts = [_x_axis(axis, bottom, TOP, x_label)]
    for index, bar in enumerate(bars):
        middle = TOP + index * row + row / 2 + 4
        parts.append(_text(left - 8, middle + 4, _short(bar.label), "", anchor="end"))
        if is_drawable(bar.value):
            start, end = sorted((axis.place(0.0), axis.place(bar.value)))
            parts.append(_rect(start, middle - 8, end - start, 16, f'fill="{COLOURS[0]}" fill-opacity=".75"'))
            parts.append(_interval(bar, axis, middle))
            furthest = bar.value if bar.high is None else max(bar.value, bar.high)
            parts.append(_text(axis.place(max(furthest, 0.0)) + 6, middle + 4, write(bar.value), "m"))
    return _svg(title, parts, bottom + BOTTOM)


def heat_map(
    title: str, values: Sequence[Sequence[float]], *, row_labels: Sequence[str], column_labels: Sequence[str],
    x_label: str, y_label: str,
) -> str:  # fmt: skip
    """Cells whose colour grows with their value, from the first row at the top."""
    left, top = 190, TOP + 20
    num_rows, num_columns = len(row_labels), len(column_labels)
    width, height = (WIDTH - RIGHT - left) / max(1, num_columns), min(44.0, max(4.0, 640 / max(1, num_rows)))
    bottom = top + num_rows * height
    most = max((abs(value) for row in values for value in row if is_drawable(value)), default=0.0) or 1.0
    parts = []
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            share = abs(value) / most if is_drawable(value) else 0.0
            x, y = left + j * width, top + i * height
            parts.append(_rect(x, y, width, height, f'class="a" fill="{COLOURS[0]}" fill-opacity="{share * 0.8:.3f}"'))
            if num_rows * num_columns <= MAX_CELL_TEXTS and is_drawable(value):
                parts.append(_text(x + width / 2, y + height / 2 + 4, write(value), "", anchor="middle"))
    for i in _labelled(num_rows, height, 12.0):
        parts.append(_text(left - 8, top + (i + 0.5) * height + 4, _short(row_labels[i]), "", anchor="end"))
    for j in _labelled(num_columns, width, 28.0):
        label = _short(column_labels[j], max(4, int(width / 7)))
        parts.append(_text(left + (j + 0.5) * width, bottom + 16, label, "", anchor="middle"))
    parts.append(_text((left + WIDTH - RIGHT) / 2, bottom + 40, x_label, "m", anchor="middle"))
    parts.append(_text(left - 8, top - 8, y_label, "m", anchor="end"))
    return _svg(title, parts, bottom + BOTTOM)


def _curve(series: Series, x_axis: Axis, y_axis: Axis, colour: str) -> str:
    """One path, with a gap wherever a point has no place."""
    runs: list[list[str]] = [[]]
    for x, y in series.points:
        if y is None or not is_drawable(x, log=x_axis.log) or not is_drawable(y, log=y_axis.log):
            runs.append([])
        else:
            runs[-1].append(f"{x_axis.place(x):.1f} {y_axis.place(y):.1f}")
    if series.style == "points":
        return "".join(_dot(at, colour) for run in runs for at in run)
    path = "".join(f"M{'L'.join(run)}" for run in runs if len(run) > 1)
    lone = "".join(_dot(run[0], colour) for run in runs if len(run) == 1)
    dashes = ' stroke-dasharray="6 4"' if series.style == "dashed" else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>{lone}' if path else lone


def _band(series: Series, x_axis: Axis, y_axis: Axis, colour: str) -> str:
    shown = [
        (x, low, high)
        for x, low, high in series.band
        if is_drawable(x, log=x_axis.log) and is_drawable(low, log=y_axis.log) and is_drawable(high, log=y_axis.log)
    ]
    if not shown:
        return ""
    edge = [(x, high) for x, _, high in shown] + [(x, low) for x, low, _ in reversed(shown)]
    points = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in edge)
    return f'<polygon points="{points}" fill="{colour}" fill-opacity=".18"/>'


def _interval(bar: Bar, axis: Axis, middle: float) -> str:
    if bar.low is None or bar.high is None or not (is_drawable(bar.low) and is_drawable(bar.high)):
        return ""
    low, high = axis.place(bar.low), axis.place(bar.high)
    ends = "".join(_line(x, middle - 5, x, middle + 5, "a") for x in (low, high))
    return _line(low, middle, high, middle, "a") + ends


def _x_axis(axis: Axis, bottom: float, top: float, label: str) -> str:
    parts = [_line(axis.start, bottom, axis.end, bottom, "a")]
    for value in axis.ticks():
        x = axis.place(value)
        parts += [_line(x, top, x, bottom, "g"), _text(x, bottom + 18, write(value), "m", anchor="middle")]
    return "".join([*parts, _text((axis.start + axis.end) / 2, bottom + 40, label, "m", anchor="middle")])


def _y_axis(axis: Axis, label: str) -> str:
    parts = [_line(LEFT, axis.start, LEFT, axis.end, "a")]
    for value in axis.ticks():
        y = axis.place(value)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, "g"), _text(LEFT - 8, y + 4, write(value), "m", anchor="end")]
    return "".join([*parts, _text(8, TOP + 2, label, "m")])


def _legend(names: Sequence[str]) -> str:
    parts, x = [], float(WIDTH - RIGHT)
    for index, name in reversed(list(enumerate(names))):
        x -= 7 * len(_short(name)) + 26
        parts += [_rect(x, TOP - 6, 12, 4, f'fill="{_colour(index)}"'), _text(x + 17, TOP + 2, _short(name), "")]
    return "".join(parts)


def _labelled(count: int, room: float, wanted: float) -> range:
    """Which of many labels to write, so that none lies on another."""
    return range(0, count, max(1, math.ceil(wanted / room)))


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _short(text: str, length: int = MAX_LABEL) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{_clean(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def _rect(x: float, y: float, width: float, height: float, look: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}/>'


def _dot(at: str, colour: str) -> str:
    x, _, y = at.partition(" ")
    return f'<circle cx="{x}" cy="{y}" r="2.2" fill="{colour}" fill-opacity=".7"/>'


def _clean(text: str) -> str:
    # XML has no place for most control characters, however they are written.
    return escape("".join(character if character.isprintable() else " " for character in text))


def _svg(title: str, parts: Sequence[str], height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img"><title>{_clean(title)}</title><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" class="b"/>{_text(8, 22, title, "h")}{"".join(parts)}</svg>'
    )
