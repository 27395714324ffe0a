"""Charts: text that any viewer draws and nothing can break out of, whatever the values and names."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import xml.etree.ElementTree as ET

import pytest

from app.chart_axes import Axis
from app.charts import HEADERS, STYLE, Bar, Series, bar_chart, heat_map, line_chart

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '</text><script>alert(1)</script>"&\x00\x1b]'
ODD = [0.0, -0.0, 1e-320, 5e-324, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan, 1.0, 1.0 + 1e-15]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def lines(*series: Series, **options: bool) -> str:
    return line_chart("Losses", series, x_label="step", y_label="loss", **options)


def all_charts(text: str) -> list[str]:
    return [
        line_chart(text, [Series(text, [(0, 1.0), (1, 2.0)])], x_label=text, y_label=text),
        bar_chart(text, [Bar(text, 1.0)], x_label=text),
        heat_map(text, [[1.0]], row_labels=[text], column_labels=[text], x_label=text, y_label=text),
    ]


def test_names_stay_names_whatever_stands_in_them() -> None:
    for svg in all_charts(NASTY):
        assert "<script" not in svg
        tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "style", "rect", "text", "line", "path", "circle", "polygon"}


def test_a_chart_asks_for_nothing_and_its_style_is_the_one_that_the_policy_lets_in() -> None:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in HEADERS["content-security-policy"]
    for svg in all_charts("a"):
        assert svg.count("<style>") == svg.count(f"<style>{STYLE}</style>") == 1
        assert not re.search(r"href|url\(|@import|\son\w+=|\sstyle=", svg)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("first", ODD)
@pytest.mark.parametrize("second", ODD)
def test_odd_values_leave_a_gap_and_never_reach_the_picture(first: float, second: float, log: bool) -> None:
    points = [(first, second), (second, first), (1.0, None)]
    band = [(first, second, first)]
    svg = lines(Series("a", points, band=band), Series("b", points, style="points"), x_log=log, y_log=log)
    svg += bar_chart("t", [Bar("a", first, second, first), Bar("b", second)], x_label="v")
    svg += heat_map("t", [[first, second]], row_labels=["a"], column_labels=["b", "c"], x_label="x", y_label="y")
    drawn = re.sub(r"<text.*?</text>", "", svg)
    assert not re.search(r"\b(nan|inf)\b", drawn)
    for number in re.findall(r'(?:x|y|cx|cy|width|height)="([-\d.e+]+)"', drawn):
        assert -1 <= float(number) <= 2000


def test_a_gap_is_left_where_a_value_is_missing() -> None:
    svg = lines(Series("a", [(0, 1.0), (1, 2.0), (2, None), (3, 1.0), (4, 2.0)]))
    path = next(iter(ET.fromstring(svg).iter(f"{SVG}path"))).attrib["d"]
    assert path.count("M") == 2


def test_without_values_a_chart_says_so() -> None:
    assert "no values yet" in texts(lines())
    assert "no values yet" in texts(lines(Series("a", [(0, None)])))
    assert "no values yet" not in texts(lines(Series("a", [(0, 1.0)])))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 100_000, [0, 20_000, 40_000, 60_000, 80_000, 100_000]),
        (-3, 7, [-2, 0, 2, 4, 6]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert Axis.over([low, high], 0, 100).ticks() == pytest.approx(expected)


def test_a_logarithmic_axis_is_marked_at_powers_of_ten() -> None:
    assert Axis.over([0.001, 1000], 0, 100, log=True).ticks() == pytest.approx([10.0**n for n in range(-3, 4)])


def test_the_legend_names_every_series_and_cells_tell_their_values() -> None:
    assert {"train", "validation"} <= set(texts(lines(Series("train", [(0, 1.0)]), Series("validation", []))))
    svg = heat_map(
        "Confusion", [[5, 1], [0, 7]], row_labels=["a", "b"], column_labels=["a", "b"], x_label="told", y_label="true"
    )
    assert {"5", "1", "0", "7", "a", "b", "told", "true"} <= set(texts(svg))
