"""Steps are checked before anything runs, with pointers that lead through the request, and are recorded as they run."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.datasets.changing import step_columns, transforming
from app.datasets.changing.schemas import AnonymityCreate, EraseCreate, TransformCreate
from app.datasets.changing.steps import MAX_STEPS, AnyStep

MASK = {"op": "mask", "columns": ["a"]}
OPS = {model.model_fields["op"].annotation.__args__[0] for model in AnyStep.__origin__.__args__}


def places(steps: Any) -> set[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as caught:
        TransformCreate.model_validate({"steps": steps})
    return {error["loc"] for error in caught.value.errors()}


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (MASK | {"keep_first": "1"}, ("keep_first",)),
        (MASK | {"show": 1}, ("show",)),
        (MASK | {"columns": ["a", 5]}, ("columns", 1)),
        (MASK | {"columns": []}, ("columns",)),
        ({"op": "mask"}, ("columns",)),
        ({"op": "noise", "columns": ["a"]}, ()),
        ({"columns": ["a"]}, ()),
        ("mask", ()),
        ({"op": ["mask"]}, ()),
        ({"op": "rename", "names": {"a": " "}}, ("names", "a")),
        ({"op": "rename", "names": {"a": "b\0"}}, ("names", "a")),
        ({"op": "filter", "conditions": []}, ("conditions",)),
        ({"op": "clip", "columns": ["a"]}, ()),
        ({"op": "clip", "columns": ["a"], "low": 1, "iqr": 1.5}, ()),
        ({"op": "clip", "columns": ["a"], "low": 2, "high": 1}, ()),
        ({"op": "clip", "columns": ["a"], "quantiles": [0.9, 0.1]}, ()),
        ({"op": "clip", "columns": ["a"], "low": float("nan")}, ("low",)),
        ({"op": "fill_missing", "columns": ["a"], "method": "constant"}, ()),
        ({"op": "fill_missing", "columns": ["a"], "method": "mean", "fill_value": 1}, ()),
        ({"op": "generalise", "columns": ["a"]}, ()),
        ({"op": "generalise", "columns": ["a"], "width": 5, "to": "month"}, ()),
        ({"op": "generalise", "columns": ["a"], "edges": [1, 1]}, ()),
        ({"op": "pseudonymise", "columns": ["a"], "length": 7}, ("length",)),
        ({"op": "suppress_rare", "columns": ["a"], "min_count": 1}, ("min_count",)),
    ],
)
def test_a_wrong_step_is_pointed_to(step: Any, place: tuple[Any, ...]) -> None:
    assert places([MASK, step]) == {("steps", 1, *place)}


def test_there_are_steps_and_not_too_many() -> None:
    assert places([]) == {("steps",)}
    assert places([MASK] * (MAX_STEPS + 1)) == {("steps",)}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (EraseCreate, {"column": "a", "values": []}),
        (EraseCreate, {"column": "a", "values": ["x"] * 1001}),
        (EraseCreate, {"column": "a", "values": [None]}),
        (AnonymityCreate, {"quasi_identifiers": []}),
        (TransformCreate, {"steps": [MASK], "quasi_identifiers": []}),
    ],
)
def test_a_wrong_request_is_refused(model: Any, body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_every_step_has_a_rule_and_what_changes_cells_or_rows_has_its_work() -> None:
    assert set(step_columns.RULES) == OPS
    assert OPS - set(transforming.OPERATIONS) == {"drop_columns", "keep_columns", "rename"}
