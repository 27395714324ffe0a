"""Anonymity is measured as the literature defines it, in counts alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.changing.anonymity import anonymity
from app.errors import Invalid
from tests.datasets.reading import read
from tests.datasets.stepping import transformed, work

ROW = st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2"]), st.sampled_from(["", "x", "y", "z"]))
CSV = "zip,age,ill\n10115,31,flu\n10115,35,flu\n10117,32,cold\n20095,61,gout\n20097,64,flu\n20099,67,\n"


def measured(csv: str, **arguments: Any) -> Any:
    table = read(csv, types={"zip": "category"} if csv.startswith("zip") else {})
    return work(anonymity, table.content, table.answer["columns"], **arguments)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=30))
def test_k_and_diversity_are_those_of_the_definition(rows: list[tuple[str, str, str]]) -> None:
    csv = "q,p,s,n\n" + "".join(f"{','.join(row)},1\n" for row in rows)
    found = measured(csv, quasi_identifiers=["q", "p"], sensitive="s")
    groups = Counter(row[:2] for row in rows)
    assert found["k"] == min(groups.values())
    assert found["num_groups"] == len(groups)
    assert found["num_rows_in_small_groups"] == sum(size for size in groups.values() if size < 5)
    assert found["diversity"] == min(len({row[2] for row in rows if row[:2] == group}) for group in groups)
    assert sum(each["num_rows"] for each in found["group_sizes"]) == len(rows)
    assert found["group_sizes"][0]["num_groups"] == sum(size == 1 for size in groups.values())


def test_nothing_of_a_row_is_in_the_answer() -> None:
    found = measured(CSV, quasi_identifiers=["zip", "age"], sensitive="ill")
    assert not {"10115", "31", "gout"} & set(str(found).replace("'", " ").replace(",", " ").split())


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [
        ({"quasi_identifiers": ["zip", "nope"]}, "/quasi_identifiers/1"),
        ({"quasi_identifiers": ["zip"], "sensitive": "nope"}, "/sensitive"),
    ],
)
def test_an_unknown_column_is_named(arguments: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        measured(CSV, **arguments)
    assert [error["pointer"] for error in caught.value.errors] == [pointer]


def test_a_transformation_tells_anonymity_before_and_after() -> None:
    steps = (
        {"op": "generalise", "columns": ["zip"], "characters": 3},
        {"op": "generalise", "columns": ["age"], "width": 10},
        {"op": "rename", "names": {"age": "decade"}},
    )
    told = transformed(CSV, *steps, types={"zip": "text"}, quasi_identifiers=["zip", "age"])
    anonymity_told = told.answer["details"]["anonymity"]
    assert (anonymity_told["before"]["k"], anonymity_told["after"]["k"]) == (1, 3)


def test_a_dropped_column_tells_nobody_from_anybody() -> None:
    drop = {"op": "drop_columns", "columns": ["age", "zip"]}
    told = transformed(CSV, drop, quasi_identifiers=["zip", "age"]).answer["details"]["anonymity"]
    assert (told["before"]["k"], told["after"]["k"]) == (1, 6)
