"""Splits: disjoint, complete, of the stated sizes, a function of the seed; rare classes are never lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.errors import LearningError
from app.learning.parts import Parts, divide, shares_missed
from app.learning.splits import Split

SHARES = st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.33])
SEEDS = st.integers(0, 2**63 - 1)


def divided(num_rows: int, seed: int = 0, *, key: list | None = None, classes: list | None = None, **split) -> Parts:
    """Divide rows 0, 3, 6, … so that a row number is never a position."""
    values = None if classes is None else np.array(classes, dtype=object)
    column = {} if key is None else {"column": "k"}
    is_named = key is not None and any(isinstance(value, str | None) for value in key)
    keys = None if key is None else np.array(key, dtype=object if is_named else float)
    request = Split.model_validate({"method": "random", **split, **column})
    request = request.model_copy(update={"test": request.test_share})
    return divide(np.arange(num_rows) * 3, request, key=keys, classes=values, seed=seed)


def whole(parts: Parts) -> list[int]:
    return sorted([*parts.train.tolist(), *parts.validation.tolist(), *parts.test.tolist()])


@given(num_rows=st.integers(1, 300), validation=SHARES, test=SHARES, seed=SEEDS)
def test_a_random_split_is_complete_and_of_the_stated_sizes(
    num_rows: int, validation: float, test: float, seed: int
) -> None:
    try:
        parts = divided(num_rows, seed, validation=validation, test=test)
    except LearningError:
        assert num_rows <= 4
        return
    assert whole(parts) == list(range(0, 3 * num_rows, 3))
    assert abs(len(parts.test) - test * num_rows) < 1 + 1e-9
    assert abs(len(parts.validation) - validation * num_rows) < 2
    assert parts.to_json() == divided(num_rows, seed, validation=validation, test=test).to_json()


@pytest.mark.parametrize(
    "request_body",
    [
        {"method": "random"},
        {"method": "stratified", "classes": ["a", "b"] * 50},
        {"method": "group", "key": list(range(20)) * 5},
        {"method": "folds", "folds": 5, "fold": 1},
        {"method": "folds", "folds": 5, "fold": 1, "classes": ["a", "b"] * 50},
        {"method": "folds", "folds": 5, "fold": 1, "key": list(range(20)) * 5},
    ],
)
def test_the_same_seed_gives_the_same_split_and_another_seed_another_one(request_body: dict) -> None:
    first, again, other = (divided(100, seed, **request_body).to_json() for seed in (7, 7, 8))
    assert first == again
    assert first["sha256"] != other["sha256"]


@given(classes=st.lists(st.sampled_from("aaaaaabbbc"), min_size=20, max_size=300), seed=st.integers(0, 1000))
def test_a_stratified_split_divides_every_class_alike(classes: list[str], seed: int) -> None:
    parts = divided(len(classes), seed, classes=classes, method="stratified")
    assert whole(parts) == list(range(0, 3 * len(classes), 3))
    labels = np.array(classes)
    for label in set(classes):
        count = classes.count(label)
        share = 0.15 * count if count >= 3 else 0.0
        assert abs(int((labels[parts.test // 3] == label).sum()) - share) < 2
        assert abs(int((labels[parts.validation // 3] == label).sum()) - share) < 2
        assert (labels[parts.train // 3] == label).any()


def test_a_class_too_rare_to_divide_is_learned_and_not_measured() -> None:
    for seed in range(50):
        parts = divided(52, seed, classes=["a"] * 50 + ["b"] * 2, method="stratified")
        assert {150, 153} <= set(parts.train.tolist())


def test_a_column_can_say_which_row_goes_where() -> None:
    parts = divided(4, method="column", key=["train", "Test", " validation", "train"])
    assert [parts.train.tolist(), parts.validation.tolist(), parts.test.tolist()] == [[0, 9], [6], [3]]
    assert parts.to_json()["num_rows"] == {"train": 2, "validation": 1, "test": 1}


@pytest.mark.parametrize("word", ["dev", None])
def test_an_unknown_part_is_refused_by_row(word: str | None) -> None:
    with pytest.raises(LearningError, match="Row 4") as caught:
        divided(2, method="column", key=["train", word])
    assert caught.value.pointer == "/split/column"


def test_a_split_without_training_rows_is_refused() -> None:
    with pytest.raises(LearningError, match="no row to train"):
        divided(2, method="column", key=["test", "test"])


def test_the_digest_of_a_split_depends_on_every_row() -> None:
    first, second = (
        divided(3, method="column", key=words).to_json()["sha256"]
        for words in (["train", "train", "test"], ["train", "test", "train"])
    )
    assert first != second


@given(
    times=st.lists(st.integers(0, 12) | st.floats(-1e308, 1e308), min_size=2, max_size=60),
    validation=SHARES,
    test=SHARES,
)
def test_in_a_split_by_time_every_part_is_older_than_the_next(
    times: list[float], validation: float, test: float
) -> None:
    parts = divided(len(times), key=times, method="time", validation=validation, test=test)
    assert whole(parts) == list(range(0, 3 * len(times), 3))
    oldest_first = [times[row // 3] for part in (parts.train, parts.validation, parts.test) for row in part]
    cuts = [len(parts.train), len(parts.train) + len(parts.validation)]
    for cut in cuts:
        assert not oldest_first[cut:] or max(oldest_first[:cut]) < min(oldest_first[cut:])
    num_times = len(set(map(float, times)))
    assert bool(len(parts.test)) == (test > 0 and num_times > 1)
    assert bool(len(parts.validation)) == (validation > 0 and num_times > 1 + (test > 0))
    assert parts.to_json() == divided(
        len(times), 5, key=times, method="time", validation=validation, test=test
    ).to_json()  # fmt: skip


def test_a_split_by_time_has_the_stated_sizes_where_times_allow_it() -> None:
    parts = divided(100, key=list(range(100, 0, -1)), method="time", validation=0.2, test=0.1)
    assert parts.test.tolist() == list(range(0, 30, 3))
    assert parts.validation.tolist() == list(range(30, 90, 3))
    assert shares_missed(parts, Split(validation=0.2, test=0.1)) == []


@given(
    groups=st.lists(st.sampled_from("aaaabbbccdefghijkl"), min_size=1, max_size=200),
    validation=SHARES,
    test=SHARES,
    seed=SEEDS,
)
def test_no_group_is_in_two_parts(groups: list[str], validation: float, test: float, seed: int) -> None:
    parts = divided(len(groups), seed, key=groups, method="group", validation=validation, test=test)
    assert whole(parts) == list(range(0, 3 * len(groups), 3))
    train, held, tested = ({groups[row // 3] for row in p} for p in (parts.train, parts.validation, parts.test))
    assert not train & held
    assert not train & tested
    assert not held & tested
    num_groups = len(set(groups))
    assert bool(tested) == (test > 0 and num_groups > 1)
    assert not held or (validation > 0 and num_groups > 2 - (test == 0))


@given(seed=SEEDS, num_groups=st.integers(30, 60))
def test_a_split_by_group_is_near_the_stated_sizes(seed: int, num_groups: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 20, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes).tolist()
    parts = divided(len(groups), seed, key=groups, method="group")
    for part in (parts.validation, parts.test):
        assert abs(len(part) - 0.15 * len(groups)) <= sizes.max()


def test_shares_that_whole_groups_cannot_meet_are_told() -> None:
    parts = divided(10, key=["a"] * 6 + ["b"] * 4, method="group")
    assert parts.to_json()["num_rows"] == {"train": 6, "validation": 0, "test": 4}
    missed = shares_missed(parts, Split(method="group", column="k"))
    assert missed == [("validation", 0.15, 0), ("test", 0.15, 4)]


FOLDS = st.integers(2, 6)


@given(num_rows=st.integers(6, 120), folds=FOLDS, validation=SHARES, seed=SEEDS)
def test_over_all_folds_every_row_tests_once(num_rows: int, folds: int, validation: float, seed: int) -> None:
    split = {"method": "folds", "folds": folds, "validation": validation}
    all_parts = [divided(num_rows, seed, fold=fold, **split) for fold in range(folds)]
    assert sorted(row for parts in all_parts for row in parts.test) == list(range(0, 3 * num_rows, 3))
    for parts in all_parts:
        assert whole(parts) == list(range(0, 3 * num_rows, 3))
        assert abs(len(parts.test) - num_rows / folds) < 1
        assert abs(len(parts.validation) - validation * num_rows) < 2


@given(classes=st.lists(st.sampled_from("aaaaaabbbc"), min_size=12, max_size=120), folds=FOLDS, seed=SEEDS)
def test_folds_of_classes_have_them_alike(classes: list[str], folds: int, seed: int) -> None:
    labels = np.array(classes)
    for fold in range(folds):
        parts = divided(len(classes), seed, classes=classes, method="folds", folds=folds, fold=fold)
        for label in set(classes):
            assert abs(int((labels[parts.test // 3] == label).sum()) - classes.count(label) / folds) < 1


@given(groups=st.lists(st.integers(0, 12), min_size=6, max_size=120), folds=FOLDS, seed=SEEDS)
def test_no_group_is_in_two_folds(groups: list[int], folds: int, seed: int) -> None:
    split = {"key": groups, "method": "folds", "folds": folds}
    if len(set(groups)) < folds:
        with pytest.raises(LearningError, match="cannot make") as caught:
            divided(len(groups), seed, fold=0, **split)
        assert caught.value.pointer == "/split/folds"
        return
    all_parts = [divided(len(groups), seed, fold=fold, **split) for fold in range(folds)]
    assert sorted(row for parts in all_parts for row in parts.test) == list(range(0, 3 * len(groups), 3))
    for parts in all_parts:
        names = [{groups[row // 3] for row in part} for part in (parts.train, parts.validation, parts.test)]
        assert sum(map(len, names)) == len(set(groups))


@pytest.mark.parametrize("method", ["time", "group"])
def test_a_row_without_time_or_group_is_named(method: str) -> None:
    with pytest.raises(LearningError, match=r"2 rows have no .*: row 4, 10") as caught:
        divided(4, method=method, key=[1.0, float("nan"), 2.0, float("nan")])
    assert caught.value.pointer == "/split/column"


def test_a_group_is_left_for_training_however_large_the_other_shares_are() -> None:
    parts = divided(2, key=["a", "b"], method="group", validation=0.0, test=0.9)
    assert parts.to_json()["num_rows"] == {"train": 1, "validation": 0, "test": 1}
