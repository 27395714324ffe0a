"""The profile of a table says what numpy says of the same values, and warns of columns that teach nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from app.datasets.reading import measures
from tests.datasets.reading import read


def test_numbers_are_described_as_numpy_describes_them() -> None:
    numbers = np.random.default_rng(0).normal(5, 2, 999)
    text = "r,i\n" + "".join(f"{number!r},{int(number * 100)}\n" for number in numbers.tolist()) + ",\n"
    table = read(text)
    for name, values in (("r", numbers), ("i", np.trunc(numbers * 100))):
        column = table.columns[name]
        assert (column["min"], column["max"]) == (values.min(), values.max())
        assert column["mean"] == pytest.approx(values.mean())
        assert column["std"] == pytest.approx(values.std(ddof=1))
        assert column["num_distinct"] == len(np.unique(values))
        assert column["num_missing"] == 1
        for key, cut in measures.QUANTILES.items():
            assert column["quantiles"][key] == pytest.approx(np.quantile(values, cut))


def test_frequent_values_come_first_and_ties_in_order() -> None:
    table = read("c,b\nx,true\ny,true\nx,\nz,false\n")
    assert table.columns["c"]["top"] == [
        {"value": "x", "count": 2},
        {"value": "y", "count": 1},
        {"value": "z", "count": 1},
    ]
    assert table.columns["b"]["top"] == [{"value": True, "count": 2}, {"value": False, "count": 1}]


def test_at_most_twenty_frequent_values_and_five_examples_are_kept() -> None:
    column = read("c\n" + "".join(f"v{i % 40}\n" for i in range(100))).columns["c"]
    assert (len(column["top"]), len(column["examples"])) == (20, 5)


def test_long_values_are_cut() -> None:
    column = read("c\n" + "é" * 5_000 + "\n").columns["c"]
    assert len(column["examples"][0]) == 100
    assert column["examples"][0].endswith("…")
    assert column["top"][0]["value"] == column["examples"][0]


def test_moments_are_rfc_3339() -> None:
    column = read("t\n2024-01-01\n2024-01-02T03:04:05.5Z\n").columns["t"]
    assert (column["min"], column["max"]) == ("2024-01-01T00:00:00Z", "2024-01-02T03:04:05.500000Z")
    assert column["examples"] == ["2024-01-01T00:00:00Z", "2024-01-02T03:04:05.500000Z"]


@pytest.mark.parametrize(
    "cells", [["1.7e308", "-1.7e308", "1.7e308"], ["1e-320", "5e-324"], [str(2**63 - 1), str(-(2**63))]]
)
def test_extreme_numbers_are_described_in_plain_json(cells: list[str]) -> None:
    table = read("x\n" + "\n".join(cells) + "\n")
    json.dumps(table.answer, allow_nan=False)
    column = table.columns["x"]
    assert column["min"] == min(map(float, cells))
    assert column["std"] is None or math.isfinite(column["std"])


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["red", "blue"] * 30, "category"),
        ([f"city {i % 30}" for i in range(60)], "category"),
        ([f"key-{i}" for i in range(51)], "identifier"),
        ([f"key-{i}" for i in range(50)], "category"),
        ([f"free words {i}" for i in range(60)], "text"),
        ([f"key-{i // 2}" for i in range(140)], "category"),
        ([f"w {i}" for i in range(90)] + ["w 0"], "text"),
        ([str(i) for i in range(60)], "integer"),
    ],
)
def test_strings_are_categories_text_or_identifiers(cells: list[str], kind: str) -> None:
    assert read("x\n" + "\n".join(cells) + "\n").types["x"] == kind


def test_columns_that_teach_nothing_are_warned_about() -> None:
    lines = "".join(f"same,,key{i},{i},{i % 7}\n" for i in range(60))
    table = read("constant,empty,key,number,fine\n" + lines)
    found = [(warning["column"], warning["code"]) for warning in table.answer["profile"]["warnings"]]
    assert found == [
        ("constant", "constant"),
        ("empty", "all-missing"),
        ("key", "near-unique"),
        ("number", "near-unique"),
        ("key", "likely-identifier"),
    ]


def test_the_table_is_summed_up() -> None:
    summary = read("a,b\n1,x\n1,x\n,y\n").answer["profile"]
    assert summary == {
        "num_rows": 3,
        "num_columns": 2,
        "num_missing_cells": 1,
        "num_duplicate_rows": 1,
        "warnings": [{"column": "a", "code": "constant", "detail": "Every value that is not missing is the same."}],
    }


def test_policies_are_stored_where_they_apply() -> None:
    table = read("i,c,s\n1,x,p q\n2,y,r\n", types={"s": "text"})
    assert table.columns["i"]["policies"] == {
        "missing": "impute",
        "out_of_range": "flag",
        "wrong_type": "reject",
    }
    assert table.columns["c"]["policies"] == {"missing": "impute", "unseen": "other", "wrong_type": "reject"}
    assert table.columns["s"]["policies"] == {"missing": "impute", "wrong_type": "reject"}


def test_wide_tables_are_described_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{i}" for i in range(30)]
    text = ",".join(names) + "\n" + "".join(",".join(f"{i}{j}" for i in range(30)) + "\n" for j in range(5))
    whole = read(text).answer
    monkeypatch.setattr("app.datasets.reading.profile.NUM_COLUMNS_AT_ONCE", 7)
    monkeypatch.setattr(measures, "NUM_COLUMNS_PER_QUERY", 3)
    assert read(text).answer == whole
    monkeypatch.setattr("app.datasets.reading.typed_parquet.MAX_COLUMNS_AT_ONCE", 8)
    monkeypatch.setattr("app.datasets.reading.inference.MAX_COLUMNS_AT_ONCE", 8)
    assert read(text).answer == whole
