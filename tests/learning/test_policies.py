"""Policies stored with a data set: every word that a column can have says something, and the request says more."""

from __future__ import annotations

from typing import Any

import pytest

from app.datasets.reading.profile import NOT_APPLICABLE, POLICIES
from app.learning.errors import LearningError
from app.learning.plan import plan
from app.learning.policies import STORED_POLICIES, PreparationParams, applicable, treatments

WORDS = [(situation, word) for situation, words in STORED_POLICIES.items() for word in words]
COLUMNS = [{"name": "a", "type": "real"}, {"name": "y", "type": "real"}]


def policy(kind: str, request: dict[str, Any] | None = None, **stored: str) -> dict[str, Any]:
    """What is decided for one column with these stored policies."""
    columns = [{"name": "a", "type": kind, "policies": stored}]
    decided = treatments(columns, PreparationParams.model_validate(request or {}), [])[0].policy
    assert decided is not None
    return decided.model_dump()


@pytest.mark.parametrize("kind", ["integer", "real", "boolean", "datetime", "category"])
def test_every_stored_word_that_applies_to_a_column_decides(kind: str) -> None:
    for situation, word in WORDS:
        if situation not in applicable(kind):
            continue
        decided = policy(kind, **{situation: word})
        if (situation, word) == ("missing", "flag") and kind != "category":
            assert decided == policy(kind) | {"missing_indicator": "always"}
        elif situation == "missing" and word != "reject":
            assert decided == policy(kind)
        else:
            assert decided[situation] == ("other" if (situation, word) == ("unseen", "flag") else word)


def test_what_does_not_apply_to_the_type_that_is_asked_for_is_passed_over() -> None:
    assert policy("real", {"columns": {"a": {"type": "category"}}}, out_of_range="reject") == policy("category")


def test_the_profile_gives_every_column_the_policies_that_learning_knows() -> None:
    for kind, without in NOT_APPLICABLE.items():
        assert applicable(kind) == POLICIES.keys() - without
    assert {situation: words[0] for situation, words in STORED_POLICIES.items()} == POLICIES | {"extra_columns": "flag"}


def test_the_policies_stored_with_a_data_set_come_before_our_defaults_and_after_the_request() -> None:
    stored = policy("real", missing="impute", out_of_range="clip")
    assert (stored["missing"], stored["out_of_range"]) == ("median", "clip")
    stated = policy("real", {"numeric": {"out_of_range": "accept"}}, missing="impute", out_of_range="clip")
    assert stated["out_of_range"] == "accept"


@pytest.mark.parametrize("kind", ["real", "category"])
def test_a_constant_for_missing_values_needs_its_value(kind: str) -> None:
    with pytest.raises(LearningError, match="needs a fill_value"):
        policy(kind, {"columns": {"a": {"missing": "constant"}}})


@pytest.mark.parametrize(
    ("stored", "stated", "decided"),
    [(None, None, "flag"), ("reject", None, "reject"), ("reject", "ignore", "ignore"), ("ignore", "flag", "flag")],
)
def test_extra_columns_are_treated_as_the_request_says_or_else_the_data_set(
    stored: str | None, stated: str | None, decided: str
) -> None:
    preparation = {} if stated is None else {"extra_columns": stated}
    first = plan(COLUMNS, "y", num_rows=100, preparation=preparation, extra_columns=stored)
    assert first["preparation"].get("extra_columns", "flag") == decided
    # A training plans again what was planned, and is not told what the data set says.
    assert plan(COLUMNS, "y", num_rows=100, preparation=first["preparation"])["preparation"] == first["preparation"]
