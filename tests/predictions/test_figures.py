"""Histograms by version: counted once, bounded, and seen by their own project only."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from app.predictions.figures import MOST_VERSIONS, AllFigures, Histogram
from tests.trained import ROW

URL = "/v1/models/penguins@1/predict"


def lines(text: str, name: str) -> dict[str, float]:
    """The samples of a metric, by what follows its name."""
    found = (line.removeprefix(name).rsplit(" ", 1) for line in text.splitlines() if line.startswith(name))
    return {rest: float(value) for rest, value in found}


@pytest.mark.usefixtures("version")
def test_latency_and_rows_are_told_for_every_version_that_answered(client: TestClient) -> None:
    for num_rows in (1, 1, 3, 100):
        assert client.post(URL, json={"rows": [ROW] * num_rows}).status_code == 200
    text = client.get("/metrics").text
    rows = lines(text, "maas_prediction_rows")
    assert rows['_count{model="penguins@1"}'] == 4
    assert rows['_sum{model="penguins@1"}'] == 105
    assert rows['_bucket{le="1.0",model="penguins@1"}'] == 2
    assert rows['_bucket{le="4.0",model="penguins@1"}'] == 3
    assert lines(text, "maas_prediction_seconds")['_count{model="penguins@1"}'] == 4


@pytest.mark.usefixtures("version")
def test_a_strangers_metrics_do_not_tell_of_it(client: TestClient, stranger: dict[str, str]) -> None:
    client.post(URL, json={"rows": [ROW]})
    assert "penguins" not in client.get("/metrics", headers=stranger).text


@pytest.mark.usefixtures("version")
def test_what_was_refused_is_not_counted(client: TestClient) -> None:
    assert client.post(URL, json={"rows": [{"year": "x"}]}).status_code == 422
    assert '{model="penguins@1"}' in client.get("/metrics").text
    assert lines(client.get("/metrics").text, "maas_prediction_rows")['_count{model="penguins@1"}'] == 0


def test_the_number_of_versions_with_figures_is_bounded_and_those_in_use_stay() -> None:
    figures = AllFigures()
    figures.of("p", "kept@1").rows.add(1)
    for number in range(2 * MOST_VERSIONS):
        figures.of("p", f"m@{number}")
        figures.of("p", "kept@1")
    rows = list(figures.families("p"))[1]
    labels = {sample.labels["model"] for sample in rows.samples}
    assert len(labels) == MOST_VERSIONS
    assert figures.of("p", "kept@1").rows.total == 1


def test_a_value_is_counted_up_to_its_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        histogram.add(value)
    assert histogram.buckets() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 10.0


def test_counting_takes_less_than_two_microseconds() -> None:
    histogram = Histogram((1.0, 2.0, 4.0, 8.0, 16.0))
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(1000):
            histogram.add(3.0)
        best = min(best, (time.perf_counter() - started) / 1000)
    assert best < 2e-6
