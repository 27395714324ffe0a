"""Shares of versions: as stated, by key always the same, and changed for as few keys as can be."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from app.predictions.splitting import choose

KEYS = [f"user-{number}" for number in range(20_000)]


def chosen(shares: dict[int, float], alias: str = "m@champion") -> dict[str, int]:
    """The version of every key."""
    return {key: choose(shares, alias=alias, key=key) for key in KEYS}


def is_near(count: int, total: int, share: float) -> bool:
    """Whether a count is within five standard deviations of its share."""
    return abs(count - total * share) < 5 * math.sqrt(total * share * (1 - share))


@pytest.mark.parametrize("shares", [{3: 0.9, 4: 0.1}, {1: 0.5, 2: 0.3, 7: 0.2}, {1: 0.999, 2: 0.001}])
def test_keys_are_divided_as_the_shares_say(shares: dict[int, float]) -> None:
    counts = Counter(chosen(shares).values())
    assert all(is_near(counts[version], len(KEYS), share) for version, share in shares.items()), counts


def test_requests_without_a_key_are_divided_as_the_shares_say() -> None:
    counts = Counter(choose({3: 0.9, 4: 0.1}, alias="m@a", key=None) for _ in range(20_000))
    assert is_near(counts[4], 20_000, 0.1), counts


def test_changed_shares_move_only_as_many_keys_as_they_must() -> None:
    before, after = chosen({1: 0.9, 2: 0.1}), chosen({1: 0.8, 2: 0.2})
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {2}
    assert is_near(len(moved), len(KEYS), 0.1)


def test_keys_go_only_to_versions_that_have_grown_in_proportion() -> None:
    before, after = chosen({1: 0.5, 2: 0.4, 3: 0.1}), chosen({1: 0.5, 2: 0.3, 3: 0.2})
    assert {(before[key], after[key]) for key in KEYS} == {(1, 1), (2, 2), (3, 3), (1, 3), (2, 3), (2, 1)}


def test_a_version_that_leaves_takes_only_its_own_keys_along() -> None:
    before, after = chosen({1: 0.5, 2: 0.3, 3: 0.2}), chosen({1: 0.5, 2: 0.3})
    assert all(after[key] == before[key] for key in KEYS if before[key] != 3)


def test_the_same_key_is_divided_anew_at_every_alias() -> None:
    first, second = (chosen({1: 0.5, 2: 0.5}, alias) for alias in ("m@a", "m@b"))
    assert is_near(sum(first[key] == second[key] for key in KEYS), len(KEYS), 0.5)


@pytest.mark.parametrize("key", ["", "ä", "\udcff", "x" * 10_000])
def test_any_text_is_a_key(key: str) -> None:
    assert choose({1: 0.5, 2: 0.5}, alias="m@a", key=key) == choose({1: 0.5, 2: 0.5}, alias="m@a", key=key)
