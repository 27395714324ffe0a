"""Splits: disjoint, complete, of the stated sizes, a function of the seed; rare classes are never lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.errors import LearningError
from app.learning.splits import Parts, Split, split_by_column, split_rows

SHARES = st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.33])


def whole(parts: Parts) -> list[int]:
    return sorted([*parts.train.tolist(), *parts.validation.tolist(), *parts.test.tolist()])


@given(num_rows=st.integers(1, 300), validation=SHARES, test=SHARES, seed=st.integers(0, 2**63 - 1))
def test_a_random_split_is_complete_and_of_the_stated_sizes(
    num_rows: int, validation: float, test: float, seed: int
) -> None:
    rows = np.arange(num_rows) * 3
    split = Split(validation=validation, test=test)
    try:
        parts = split_rows(rows, split, classes=None, seed=seed)
    except LearningError:
        assert num_rows <= 4
        return
    assert whole(parts) == rows.tolist()
    assert abs(len(parts.test) - test * num_rows) < 1 + 1e-9
    assert abs(len(parts.validation) - validation * num_rows) < 2
    again = split_rows(rows, split, classes=None, seed=seed)
    assert np.array_equal(parts.test, again.test)


def test_another_seed_gives_another_split() -> None:
    first, second = (split_rows(np.arange(100), Split(), classes=None, seed=seed) for seed in (0, 1))
    assert first.test.tolist() != second.test.tolist()


@given(classes=st.lists(st.sampled_from("aaaaaabbbc"), min_size=20, max_size=300), seed=st.integers(0, 1000))
def test_a_stratified_split_divides_every_class_alike(classes: list[str], seed: int) -> None:
    labels = np.array(classes, dtype=object)
    parts = split_rows(np.arange(len(labels)), Split(), classes=labels, seed=seed)
    assert whole(parts) == list(range(len(labels)))
    for label in set(classes):
        count = classes.count(label)
        share = 0.15 * count if count >= 3 else 0.0
        assert abs(int((labels[parts.test] == label).sum()) - share) < 2
        assert abs(int((labels[parts.validation] == label).sum()) - share) < 2
        assert (labels[parts.train] == label).any()


def test_a_class_too_rare_to_divide_is_learned_and_not_measured() -> None:
    labels = np.array(["a"] * 50 + ["b"] * 2, dtype=object)
    for seed in range(50):
        parts = split_rows(np.arange(52), Split(), classes=labels, seed=seed)
        assert {50, 51} <= set(parts.train.tolist())


def test_a_column_can_say_which_row_goes_where() -> None:
    words = np.array(["train", "Test", " validation", "train"], dtype=object)
    parts = split_by_column(np.array([2, 3, 5, 7]), words, "part")
    assert [parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()] == [[2, 7], [5], [3]]
    assert parts.to_json()["num_rows"] == {"train": 2, "validation": 1, "test": 1}


@pytest.mark.parametrize("word", ["dev", None])
def test_an_unknown_part_is_refused_by_row(word: str | None) -> None:
    with pytest.raises(LearningError, match="Row 2") as caught:
        split_by_column(np.arange(2), np.array(["train", word], dtype=object), "part")
    assert caught.value.pointer == "/split/column"


def test_a_split_without_training_rows_is_refused() -> None:
    with pytest.raises(LearningError, match="no row to train"):
        split_by_column(np.arange(2), np.array(["test", "test"], dtype=object), "part")


def test_the_digest_of_a_split_depends_on_every_row() -> None:
    first, second = (
        split_by_column(np.arange(3), np.array(words, dtype=object), "part").to_json()["sha256"]
        for words in (["train", "train", "test"], ["train", "test", "train"])
    )
    assert first != second
