"""Data preparation: every policy, what it does to a row, and what it says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from app.learning import preprocess
from app.learning.data import Table
from app.learning.describe import describe
from app.learning.errors import InputError, LearningError
from app.learning.layout import Block, Layout
from app.learning.notes import Notes, TrainingNotes
from app.learning.policies import PreparationParams, treatments
from app.learning.preprocess import Preparation

Fitted = tuple[Preparation, np.ndarray]


def fit(types: dict[str, str], values: dict[str, list[Any]], **preparation: Any) -> Fitted:
    """Fit on all rows; returns the preparation and the inputs of those rows."""
    decided = treatments(
        [{"name": name, "type": kind} for name, kind in types.items()],
        PreparationParams.model_validate(preparation),
        reserved=[],
    )
    stored = {
        name: np.array([math.nan if v is None else v for v in column], float)
        if types[name] in ("integer", "real", "boolean", "datetime")
        else np.array(column, object)
        for name, column in values.items()
    }
    table = preprocess.read_as(Table(len(next(iter(values.values()))), stored), decided, TrainingNotes())
    extra = preparation.get("extra_columns", "flag")
    prepared = preprocess.fit(table, decided, ignored=["target"], extra_columns=extra)
    return prepared, prepared.transform(table)


def fit_one(kind: str, values: list[Any], **policy: Any) -> Fitted:
    return fit({"a": kind}, {"a": values}, columns={"a": policy})


def answer(prepared: Preparation, **row: Any) -> tuple[list[float], list[str]]:
    """Return the inputs and the warning codes of one JSON row."""
    notes = Notes(1)
    columns = {name: [row.get(name)] for name in prepared.input_names}
    inputs = prepared.transform(prepared.read(columns, 1, notes), notes)
    notes.check()
    return inputs[0].tolist(), [warning["code"] for warning in notes.warnings[0]]


@pytest.mark.parametrize(
    ("strategy", "fill"), [("mean", 4.0), ("median", 2.0), ("most_frequent", 1.0), ("constant", 9.0)]
)
def test_a_missing_number_is_filled_as_asked_and_flagged(strategy: str, fill: float) -> None:
    value = {"fill_value": 9.0} if strategy == "constant" else {}
    prepared, x = fit_one("real", [1, 1, 3, 11, None], missing=strategy, scaling="none", **value)
    assert x.tolist() == [[1, 0], [1, 0], [3, 0], [11, 0], [fill, 1]]
    assert answer(prepared) == ([fill, 1.0], ["imputed"])


@pytest.mark.parametrize(
    ("indicator", "values", "width"),
    [("auto", [1, 2], 1), ("auto", [1, 2, None], 2), ("always", [1, 2], 2), ("never", [1, 2, None], 1)],
)
def test_the_missing_indicator_is_an_input_where_asked(indicator: str, values: list[Any], width: int) -> None:
    assert fit_one("real", values, missing_indicator=indicator)[1].shape[1] == width


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("standard", [-1.5 / math.sqrt(1.25), -0.5 / math.sqrt(1.25), 0.5 / math.sqrt(1.25), 1.5 / math.sqrt(1.25)]),
        ("min_max", [0, 1 / 3, 2 / 3, 1]),
        ("robust", [-1, -1 / 3, 1 / 3, 1]),
        ("none", [1, 2, 3, 4]),
    ],
)
def test_numbers_are_scaled_as_asked(scaling: str, expected: list[float]) -> None:
    np.testing.assert_allclose(fit_one("real", [1, 2, 3, 4], scaling=scaling)[1][:, 0], expected, rtol=1e-6)


def test_quantile_scaling_makes_any_shape_normal() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=2000) * 3).tolist()
    x = fit_one("real", values, scaling="quantile")[1][:, 0]
    assert abs(float(x.mean())) < 0.01
    assert float(x.std()) == pytest.approx(1.0, abs=0.02)
    assert np.array_equal(np.argsort(x, kind="stable")[100:-100], np.argsort(values, kind="stable")[100:-100])


@pytest.mark.parametrize(
    ("policy", "value", "codes"),
    [("accept", 20.0, []), ("flag", 20.0, ["out-of-range"]), ("clip", 4.0, ["clipped"])],
)
def test_a_value_out_of_range_is_treated_as_asked(policy: str, value: float, codes: list[str]) -> None:
    prepared, _ = fit_one("real", [1, 2, 3, 4], scaling="none", out_of_range=policy)
    assert answer(prepared, a=20) == ([value], codes)


@pytest.mark.parametrize(
    ("kind", "values", "policy", "row"),
    [
        ("real", [1, 2], {"out_of_range": "reject"}, {"a": 20}),
        ("real", [1, 2], {"missing": "reject"}, {}),
        ("real", [1, 2], {"missing": "drop_rows"}, {"a": None}),
        ("real", [1, 2], {}, {"a": "3"}),
        ("real", [1, 2], {}, {"a": True}),
        ("real", [1, 2], {}, {"a": [1]}),
        ("real", [1, 2], {}, {"a": math.inf}),
        ("real", [1, 2], {}, {"a": math.nan}),
        ("real", [1, 2], {}, {"a": 10**400}),
        ("real", [1, 2], {"wrong_type": "impute"}, {"a": math.inf}),
        ("real", [1, 2], {}, {"a": 1e300}),
        ("boolean", [0, 1], {}, {"a": "yes"}),
        ("datetime", [0, 1], {}, {"a": "yesterday"}),
        ("datetime", [0, 1], {}, {"a": 12}),
        ("category", ["x", "y"], {"unseen": "reject"}, {"a": "z"}),
        ("category", ["x", "y"], {"missing": "reject"}, {"a": None}),
        ("category", ["x", "y"], {}, {"a": {"b": 1}}),
    ],
)
def test_a_value_that_its_policy_rejects_is_named(
    kind: str, values: list[Any], policy: dict[str, Any], row: dict[str, Any]
) -> None:
    prepared, _ = fit_one(kind, values, **policy)
    with pytest.raises(InputError) as caught:
        answer(prepared, **row)
    assert [error["pointer"] for error in caught.value.errors] == ["/rows/0/a"]


@pytest.mark.parametrize("value", ["3", [], False])
def test_a_value_of_the_wrong_type_can_count_as_missing(value: Any) -> None:
    prepared, _ = fit_one("real", [1, 2, 6], wrong_type="impute", scaling="none")
    assert answer(prepared, a=value) == ([2.0], ["wrong-type", "imputed"])


def test_categories_become_one_input_each_and_an_unseen_one_none() -> None:
    prepared, x = fit_one("category", ["b", "a", "b", None])
    assert x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert answer(prepared, a="z") == ([0, 0, 0], ["unseen-category"])
    assert answer(prepared, a=None) == ([0, 0, 1], ["imputed"])
    assert answer(prepared, a="a") == ([1, 0, 0], [])


def test_rare_categories_share_one_input_with_unseen_ones() -> None:
    prepared, x = fit_one("category", ["a", "a", "b", "b", "c", "d"], max_categories=2)
    assert x.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert answer(prepared, a="z") == ([0, 0, 1], ["unseen-category"])


def test_ordinal_categories_are_one_input() -> None:
    prepared, x = fit_one("category", ["c", "a", "b", "d"], encoding="ordinal")
    assert x[:, 0].tolist() == [0.75, 0.25, 0.5, 1.0]
    assert answer(prepared, a="z") == ([0.0], ["unseen-category"])


def test_indexed_categories_are_one_input_that_counts_from_one() -> None:
    prepared, x = fit_one("category", ["c", "a", "b", None], encoding="index")
    assert x[:, 0].tolist() == [3.0, 1.0, 2.0, 4.0]
    assert answer(prepared, a="z") == ([0.0], ["unseen-category"])
    assert prepared.layout == Layout(0, 0, (Block("index", 4),))


def test_repeated_numbers_are_levels_as_well_where_asked() -> None:
    values = [*[10.0, 20.0, 20.0, 30.0] * 4, None]
    prepared, x = fit_one("real", values, levels=5)
    assert prepared.layout == Layout(1, 1, (Block("levels", 3),))
    assert x[:4, 2].tolist() == [1.0, 2.0, 2.0, 3.0]
    # The median stands in for what is missing, so it is a level, too; a number in between is none.
    assert answer(prepared, a=None)[0][2] == 2.0
    assert answer(prepared, a=20.5)[0][2] == answer(prepared, a=99)[0][2] == 0.0


@pytest.mark.parametrize(
    ("values", "most"),
    [
        ([1.0, 2.0] * 20, 5),
        ([float(i) for i in range(20)] * 2, 50),
        ([1.0, 2.0, 3.0, 4.0] * 20, 3),
        ([1.0, 2.0, 3.0, 4.0] * 20, 0),
    ],
    ids=["two", "rare", "many", "not-asked"],
)
def test_numbers_are_no_levels_when_two_hardly_repeated_or_too_many(values: list[float], most: int) -> None:
    prepared, _ = fit_one("real", values, levels=most)
    assert prepared.layout == Layout(1)


@pytest.mark.parametrize(("policy", "slot"), [({"missing": "most_frequent"}, 1), ({"missing": "constant"}, 0)])
def test_a_missing_category_is_filled_as_asked(policy: dict[str, Any], slot: int) -> None:
    value = {"fill_value": "a"} if policy["missing"] == "constant" else {}
    prepared, x = fit_one("category", ["b", "b", "a", None], **policy, **value)
    assert x[3].argmax() == slot
    assert answer(prepared)[1] == ["imputed"]


def test_the_constant_for_missing_categories_is_a_category_of_its_own() -> None:
    prepared, x = fit_one("category", ["b", "a", None], missing="constant", fill_value="unknown")
    assert x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert answer(prepared, a="unknown") == ([0, 0, 1], [])


@pytest.mark.parametrize(
    ("stored", "wanted", "values", "row", "expected"),
    [
        ("integer", "category", [2007, 2008], 2008, [0, 1]),
        ("integer", "category", [2007, 2008], 2008.0, [0, 1]),
        ("real", "category", [0.5, 2.0], 2, [0, 1]),
        ("real", "category", [-0.0, 2.0], 0, [1, 0]),
        ("boolean", "category", [1, 0], True, [0, 1]),
        ("datetime", "category", [0, 86400], "1970-01-02", [0, 1]),
        ("category", "real", ["1.5", "2"], "2", [2.0]),
        ("category", "real", ["1.5", "2"], 2, [2.0]),
        ("category", "datetime", ["1970-01-01", "1970-01-02"], "1970-01-02T00:00:00Z", [86400.0]),
        ("category", "boolean", ["true", "False"], "TRUE", [1.0]),
        ("text", "category", ["x", "y"], "y", [0, 1]),
        ("category", "category", ["1", "2"], 2, [0, 1]),
    ],
)
def test_a_column_can_be_read_as_another_type(
    stored: str, wanted: str, values: list[Any], row: Any, expected: list[float]
) -> None:
    options = {"scaling": "none"} if wanted != "category" else {}
    prepared, x = fit_one(stored, values, type=wanted, **options)
    assert answer(prepared, a=row)[0] == expected
    assert expected in x.tolist()


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("text", ["x", "y"], "text columns"),
        ("identifier", ["x", "y"], "identifier columns"),
        ("real", [2, 2], "the same value"),
        ("real", [None, None], "no training row"),
        ("category", ["x", "x"], "the same value"),
        ("category", [None, None], "no training row"),
    ],
)
def test_a_column_that_cannot_help_is_left_out_and_says_why(kind: str, values: list[Any], why: str) -> None:
    prepared, _ = fit({"a": kind, "b": "real"}, {"a": values, "b": [1, 2]})
    left_out = describe(prepared, {})[0]
    assert left_out["role"] == "left_out"
    assert why in left_out["reason"]


def test_a_request_can_leave_a_column_out() -> None:
    prepared, x = fit({"a": "real", "b": "real"}, {"a": [1, 2], "b": [1, 2]}, columns={"a": {"use": False}})
    assert prepared.input_names == ("b",)
    assert x.shape == (2, 1)


def test_without_any_input_there_is_nothing_to_learn() -> None:
    with pytest.raises(LearningError, match="No column"):
        fit_one("real", [1, 1])


@pytest.mark.parametrize(
    ("values", "policy", "said"),
    [(["1", "x"], {"type": "real"}, "Row 2"), (["1", "1e999"], {"type": "real"}, "finite")],
)
def test_a_training_value_that_cannot_be_read_is_named(values: list[Any], policy: dict[str, Any], said: str) -> None:
    with pytest.raises(LearningError, match=said) as caught:
        fit_one("category", values, **policy)
    assert caught.value.pointer == "/preparation/columns/a"


def test_numbers_too_large_to_be_scaled_are_refused() -> None:
    with pytest.raises(LearningError, match="too large"):
        fit_one("real", [-1.7e308, 1.7e308])


def test_rows_with_missing_values_can_be_dropped_or_refused() -> None:
    columns = [{"name": "a", "type": "real"}, {"name": "b", "type": "real"}]
    table = Table(3, {"a": np.array([1.0, np.nan, 3.0]), "b": np.array([1.0, 2.0, np.nan])})
    for missing in ("drop_rows", "reject"):
        params = PreparationParams.model_validate({"columns": {"a": {"missing": missing}}})
        decided = treatments(columns, params, [])
        if missing == "drop_rows":
            assert preprocess.complete_rows(table, decided).tolist() == [True, False, True]
        else:
            with pytest.raises(LearningError, match="Row 2, column 'a'"):
                preprocess.complete_rows(table, decided)
