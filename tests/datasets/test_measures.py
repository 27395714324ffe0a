"""Histograms say what numpy says; what is measured on a sample is marked, close to the truth and repeatable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from app.datasets.reading import measures
from tests.datasets.reading import Table, read

NUM_ROWS = 50_000


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(0).normal(5, 2, 999),
        np.linspace(-1, 1, 21),
        np.array([-1.7e308, 1.7e308, 0.0]),
        np.array([0.0, 5e-324, 1e-320]),
    ],
)
def test_a_histogram_of_numbers_is_that_of_numpy(numbers: np.ndarray) -> None:
    column = read("x\n" + "".join(f"{number!r}\n" for number in numbers.tolist())).columns["x"]
    edges = np.array(column["histogram"]["edges"])
    assert (edges[0], edges[-1]) == (numbers.min(), numbers.max())
    expected = [((numbers >= low) & (numbers < high)).sum() for low, high in pairwise(edges[:-1])]
    assert column["histogram"]["counts"] == [*expected, (numbers >= edges[-2]).sum()]
    assert len(expected) == 19 or np.diff(edges).min() > 0


def test_a_histogram_of_large_integers_counts_each_once() -> None:
    column = read(f"x\n{2**63 - 1}\n{-(2**63)}\n0\n").columns["x"]
    assert len(column["histogram"]["edges"]) == 21
    assert sum(column["histogram"]["counts"]) == 3


def test_few_different_integers_get_a_bin_each() -> None:
    assert read("x\n1\n1\n4\n").columns["x"]["histogram"] == {
        "edges": [0.5, 1.5, 2.5, 3.5, 4.5],
        "counts": [2, 0, 0, 1],
    }


def test_a_histogram_of_moments_has_edges_in_rfc_3339() -> None:
    histogram = read("t\n2024-01-01\n2024-01-21\n2024-01-02\n").columns["t"]["histogram"]
    assert histogram["edges"][:2] == ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]
    assert histogram["counts"] == [1, 1, *[0] * 17, 1]


@pytest.mark.parametrize(("cell", "edges"), [("7", [6.5, 7.5]), ("0.5", [0.5, 0.5])])
def test_a_constant_column_has_one_bin(cell: str, edges: list[float]) -> None:
    assert read(f"x\n{cell}\n{cell}\n").columns["x"]["histogram"] == {"edges": edges, "counts": [2]}


def test_columns_of_strings_or_without_values_have_no_histogram() -> None:
    columns = read("s,b,e\nx,true,\n").columns
    assert [columns[name]["histogram"] for name in "sbe"] == [None] * 3


def test_very_wide_tables_keep_less_of_each_column() -> None:
    names = [f"c{i}" for i in range(measures.MAX_COLUMNS_IN_FULL + 1)]
    lines = [",".join([f"{j}{'x' * 60}", *[str(j)] * (len(names) - 1)]) for j in range(30)]
    columns = read(",".join(names) + "\n" + "\n".join(lines) + "\n").columns
    assert (len(columns["c0"]["top"]), len(columns["c0"]["examples"]), len(columns["c0"]["examples"][0])) == (5, 3, 40)
    assert len(columns["c1"]["histogram"]["counts"]) == measures.BRIEF.num_bins


@pytest.fixture(scope="module")
def large() -> Iterator[Table]:
    numbers = np.random.default_rng(1).normal(0, 1, NUM_ROWS).tolist()
    lines = [
        f"{i},{numbers[i]!r},{'ab'[i % 7 == 0]},key-{i},word {i % 30_000},{i % 2 == 0},{'' if i % 5_000 else i},5"
        for i in range(NUM_ROWS)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "MAX_EXACT_ROWS", 10_000)
        patch.setattr(measures, "MAX_SAMPLE_ROWS", 20_000)
        text = "file_row_number,normal,letter,key,words,flag,rare,same\n" + "\n".join(lines) + "\n"
        first, second = read(text), read(text)
        assert first.answer["columns"] == second.answer["columns"]
        yield first


def test_rows_too_long_for_one_scan_give_the_same_sample_by_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MAX_EXACT_ROWS", 1_000)
    monkeypatch.setattr(measures, "MAX_SAMPLE_ROWS", 2_000)
    text = "x,word\n" + "".join(f"{i * i},word {i % 700}\n" for i in range(NUM_ROWS))
    in_one_scan = read(text).answer["columns"]
    monkeypatch.setattr(measures, "MAX_BYTES_OF_LIST", 0)
    assert read(text).answer["columns"] == in_one_scan


def test_what_comes_from_a_sample_is_marked(large: Table) -> None:
    marked = {name for name, column in large.columns.items() if column["approximate"]}
    assert marked == {"file_row_number", "normal", "key", "words", "rare", "same"}
    assert not read("x\n1\n").columns["x"]["approximate"]


def test_one_scan_of_a_large_table_gives_exact_extremes_and_moments(large: Table) -> None:
    numbers = np.array(large.values("normal"))
    column = large.columns["normal"]
    assert (column["min"], column["max"]) == (numbers.min(), numbers.max())
    assert (column["mean"], column["std"]) == (pytest.approx(numbers.mean()), pytest.approx(numbers.std(ddof=1)))
    assert large.columns["rare"]["num_missing"] == NUM_ROWS - 10


def test_a_sample_gives_nearly_the_right_distribution(large: Table) -> None:
    for name in ("normal", "file_row_number"):
        values = np.array(large.values(name))
        column = large.columns[name]
        for key, cut in measures.QUANTILES.items():
            assert (values <= column["quantiles"][key]).mean() == pytest.approx(cut, abs=0.01)
        expected, _ = np.histogram(values, column["histogram"]["edges"])
        assert column["histogram"]["counts"] == pytest.approx(expected, rel=0.1, abs=50)


def test_categories_of_a_large_table_are_counted_exactly(large: Table) -> None:
    assert large.columns["letter"]["top"] == [{"value": "a", "count": 42_857}, {"value": "b", "count": 7_143}]
    assert large.columns["flag"]["top"] == [{"value": value, "count": 25_000} for value in (False, True)]


def test_the_few_values_of_a_sparse_column_are_all_looked_at(large: Table) -> None:
    column = large.columns["rare"]
    assert (sum(column["histogram"]["counts"]), column["quantiles"]["p50"]) == (10, 22_500)


def test_keys_of_a_large_table_are_still_recognised(large: Table) -> None:
    assert (large.types["key"], large.columns["key"]["num_distinct"]) == ("identifier", NUM_ROWS)
    assert large.types["words"] == "text"
    assert large.columns["words"]["num_distinct"] == pytest.approx(30_000, rel=0.15)
    found = [(warning["column"], warning["code"]) for warning in large.answer["profile"]["warnings"]]
    expected = [("key", "likely-identifier"), ("key", "near-unique"), ("same", "constant")]
    assert sorted(found) == [("file_row_number", "near-unique"), *expected]
    json.dumps(large.answer, allow_nan=False)
